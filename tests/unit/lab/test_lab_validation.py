"""One decision at a time against the record; the page's figures are what the traces give."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.lab import readers, site
from euca_rpc.lab.validation import Alike, one_step_ahead
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size

ROOT = Path(__file__).parents[3]
TRACES = ROOT.parent / "shared" / "traces"
PAGE = ROOT / "docs" / "validation.md"
POLICIES = ("round_robin", "greedy", "pack", "least_full")


def recorded(*nodes: str) -> Workload:
    return Workload(
        "w",
        tuple(
            Request(f"r{n}", n * SECOND, Size(2, 0, 0), 2 * SECOND, recorded=node)
            for n, node in enumerate(nodes)
        ),
    )


def test_a_difference_counts_once() -> None:
    two = site.alike(2, 4)
    turns = recorded("NODE0", "NODE1", "NODE0", "NODE1", "NODE1", "NODE0")
    assert one_step_ahead(turns, two, "round_robin") == Alike(6, 5, 5, 0)
    assert one_step_ahead(turns, two, "greedy").same == 3
    full = Workload("w", tuple(Request(f"r{n}", n, Size(4, 0, 0), None, recorded="NODE0") for n in range(2)))
    assert one_step_ahead(full, two, "greedy") == Alike(2, 1, 1, 1)
    with pytest.raises(EucaError, match="w: r1 names none of the site's nodes"):
        one_step_ahead(recorded("NODE0", "NODE2"), two, "greedy")


@pytest.mark.parametrize(("trace", "nodes", "cores"), [("DS2", 7, 12), ("DS3", 7, 8), ("DS4", 12, 8)])
def test_the_page_says_what_the_traces_give(trace: str, nodes: int, cores: int) -> None:
    if not TRACES.is_dir():
        pytest.skip("the traces are not here")
    workload = readers.read(TRACES / f"{trace}-trace.txt.xz")
    found = [one_step_ahead(workload, site.alike(nodes, cores), policy) for policy in POLICIES]
    shares = [f"{one.same / one.requests:.1%}" for one in found]
    shares += [f"{number / len(workload.requests):.1%}" for number in astuple(found[0])[2:]]
    row = re.search(rf"^\| {trace} \| [a-z-]+ \| share of [\d,]+ \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert row is not None
    assert [cell.strip().replace(" %", "%") for cell in row[1].split("|")] == shares
