"""Pages: `next` names the place of the last row shown, so that rows which come and go shift nothing.

It is signed, and good for the same list with the same filters of the same account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, TypeVar

from euca_rpc.errors import EucaError

from .bodies import Paged
from .tokens import Signer

T = TypeVar("T")
Place = tuple[Any, ...]


def page(
    rows: Iterable[T], place_of: Callable[[T], Place], signer: Signer, question: Sequence[str], query: Paged
) -> tuple[list[T], str | None]:
    """Rows come in the order of their places."""
    asked = [*question, *_filters(query)]
    if query.page is not None:
        opened = signer.open(query.page)
        if opened is None:
            raise EucaError(
                "page_token_invalid", "'page' is not one of this endpoint's; begin the list again without it."
            )
        before, place = opened
        if before != asked:
            raise EucaError(
                "page_token_invalid",
                "'page' belongs to another list; repeat the filters of the request that it came from.",
            )
        rows = (row for row in rows if place_of(row) > tuple(place))
    found = list(islice(rows, query.limit + 1))
    if len(found) <= query.limit:
        return found, None
    found.pop()
    return found, signer.sign([asked, place_of(found[-1])])


def _filters(query: Paged) -> list[Any]:
    names = (f.name for f in fields(query) if f.name not in ("limit", "page"))
    return [[name, sorted(getattr(query, name))] for name in names if getattr(query, name)]
