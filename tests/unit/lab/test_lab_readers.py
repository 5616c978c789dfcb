"""Traces: what is read, and that a wrong line is named."""

from __future__ import annotations

import csv
import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.lab import readers
from euca_rpc.lab.workload import DAY, Request, Workload, resample
from euca_rpc.types import Size

SHARED = Path(__file__).parents[4] / "shared" / "traces"


def starts(*lines: str) -> Workload:
    return readers.read_starts(lines, "t")


def test_start_and_stop_lines() -> None:
    found = starts("START 5 i-1 NODE0 2", "", "START 5 i-2 NODE1 1", "STOP 9.5 i-1", "STOP 9 i-9")
    assert found.requests == (
        Request("i-1", 5 * SECOND, Size(2, 0, 0), 4_500_000, recorded="NODE0"),
        Request("i-2", 5 * SECOND, Size(1, 0, 0), None, recorded="NODE1"),
    )
    assert found.undefined == {"users", "memory", "disk", "asked"}
    assert found.notes == ("1 STOP lines of machines that do not run: ignored",)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("START 0 i-1 NODE0",), "line 1: 'START 0 i-1 NODE0' is neither"),
        (("START 0 i-1 N 1", "START 1 i-1 N 1"), "line 2: i-1 is started a second time"),
        (("START x i-1 N 1",), "line 1: 'x' is not a number of seconds"),
        (("START -1 i-1 N 1",), "line 1: '-1' is not a number of seconds"),
        (("START nan i-1 N 1",), "line 1: 'nan' is not a number of seconds"),
        (("START 1e300 i-1 N 1",), "line 1: '1e300' is not a number of seconds"),
        (("START 0 i-1 N 0",), "line 1: '0' is not a whole number from 1"),
        (("START 0 i-1 N ²",), "line 1: '²' is not a whole number from 1"),
        ((), "has no launches in it"),
    ],
)
def test_a_wrong_line_is_named(lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(EucaError, match=said):
        starts(*lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at,cors\n0,1\n", "line 1: the column 'cors' is not known; did you mean cores?"),
        ("at,user\n0,1\n", "line 1: the column cores is missing"),
        ("at,cores\n0\n", "line 2: it does not have 2 columns"),
        ("at,cores\n0,1,2\n", "line 2: it does not have 2 columns"),
        ("at,cores\n0,1\nx,1\n", "line 3: 'x' is not a number of seconds"),
        ("at,cores,count\n0,1,0\n", "line 2: '0' is not a whole number from 1"),
        ("at,cores,count,duration\n0,1,3,1 2\n", "line 2: 2 durations for 3 machines"),
        ("at,cores,hints\n0,1,oops\n", "line 2: the hint 'oops' is not name=value"),
    ],
)
def test_a_wrong_row_of_a_csv_is_named(text: str, said: str) -> None:
    with pytest.raises(EucaError, match=said):
        readers.read_csv(text.splitlines(keepends=True), "t")


_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
_MOMENTS = st.integers(0, 10**13)


@given(
    st.lists(
        st.builds(
            Request,
            key=_NAMES.filter(bool),
            at=_MOMENTS,
            size=st.builds(Size, st.integers(1, 99), st.integers(0, 9999), st.integers(0, 9999)),
            duration=st.none() | _MOMENTS,
            count=st.integers(1, 50),
            user=_NAMES,
            account=_NAMES,
            asked=st.none() | _MOMENTS,
            hints=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=2, unique=True)
            .map(sorted)
            .map(tuple),
            recorded=_NAMES,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_workload_survives_its_own_csv(requests: list[Request]) -> None:
    before = Workload("t", tuple(sorted(requests, key=lambda r: r.at)))
    lines = [_line(row) for row in readers.rows(before)]
    assert readers.read_csv(lines, "t") == before


def _line(row: list[str]) -> str:
    class Box:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

    box = Box()
    csv.writer(box).writerow(row)
    return box.text


def test_swf() -> None:
    found = readers.read_swf(
        [
            "; a comment\n",
            "1 10 5 100 4 -1 2048 4 200 -1 1 7 3 -1 1 -1 -1 -1\n",
            "2 11 5 -1 4 -1 -1 4 200 -1 0 7 3 -1 1 -1 -1 -1\n",
        ],
        "t",
    )
    assert found.requests == (
        Request("1", 10 * SECOND, Size(4, 8, 0), 100 * SECOND, user="7", account="3", asked=200 * SECOND),
    )
    assert found.undefined == {"disk", "nodes"}
    assert found.notes == ("1 jobs never ran: left out",)


@pytest.mark.parametrize("line", ["1 2 3", "a " * 18, "1e99 " * 18, "nan " * 18])
def test_a_wrong_line_of_swf_is_named(line: str) -> None:
    with pytest.raises(EucaError, match="line 1: a "):
        readers.read_swf([line], "t")


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_files_compressed_or_not(tmp_path: Path, ending: str, pack: object) -> None:
    path = tmp_path / f"some.csv{ending}"
    path.write_bytes(pack(b"at,cores\n3,2\n"))  # type: ignore[operator]
    found = readers.read(path)
    assert (found.name, found.requests[0].at) == ("some", 3 * SECOND)
    path.write_bytes(b"\xfd7zXZ\x00\x00\x1f\x8b\xff")
    with pytest.raises(EucaError, match=r"the trace .* cannot be read"):
        readers.read(path)


def test_the_recorded_clusters_are_what_their_description_says() -> None:
    if not SHARED.is_dir():
        pytest.skip("the traces are not here")
    for name, launches, last in (
        ("DS1", 9173, 7381543),
        ("DS2", 900, 24531071),
        ("DS3", 2600, 24176472),
        ("DS4", 1436, 8177436),
    ):
        found = readers.read(SHARED / f"{name}-trace.txt.xz")
        assert (len(found.requests), found.length) == (launches, last * SECOND)
        assert found.notes == ()


def test_resampling_keeps_days_whole_and_repeats() -> None:
    days = tuple(
        Request(f"{day}/{n}", day * DAY + n, Size(1, 0, 0)) for day in range(20) for n in range(day % 4 + 1)
    )
    whole = Workload("w", days)
    assert resample(whole, 0) is whole
    one, again, other = resample(whole, 1), resample(whole, 1), resample(whole, 2)
    assert one == again
    assert one.requests != other.requests
    for day in range(20):
        inside = [r.key.split("/")[1:] for r in one.requests if r.at // DAY == day]
        source = {int(key[0]) for key in inside}
        assert len(source) == 1  # all of one day, and all of it
        assert len(inside) == source.pop() % 4 + 1
    assert [r.at for r in one.requests] == sorted(r.at for r in one.requests)


def test_machines_of_one_request_that_end_apart() -> None:
    (found,) = readers.read_csv(["at,cores,count,duration\n", "0,1,3,5 - 7\n"], "t").requests
    assert (found.duration, found.apart) == (None, (5 * SECOND, None, 7 * SECOND))
    (found,) = readers.read_csv(["at,cores,count,duration\n", "0,1,2,5 7\n"], "t").requests
    assert (found.duration, found.durations) == (7 * SECOND, (5 * SECOND, 7 * SECOND))
    lines = [_line(row) for row in readers.rows(Workload("t", (found,)))]
    assert readers.read_csv(lines, "t").requests == (found,)
