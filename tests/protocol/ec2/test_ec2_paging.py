"""Pages of a list: each row once, in order, and no more work than a page needs."""

from __future__ import annotations

from collections.abc import Iterator

from euca_ec2.paging import Pager


def test_pages_hold_each_row_once_and_rows_after_a_page_are_not_made():
    pager, question = Pager(b"key"), ("numbers",)
    made: list[int] = []

    def rows() -> Iterator[int]:
        for number in range(25):
            made.append(number)
            yield number

    pages, token = [], None
    while True:
        page, token = pager.page(rows(), lambda number: (number,), question, 10, token)
        pages.append(list(page))
        if len(pages) == 1:
            assert len(made) == 11  # one more than the page, to know whether there is another
        if token is None:
            break
    assert pages == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
