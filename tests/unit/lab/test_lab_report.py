"""The report: one file that needs nothing else, whatever a trace calls its things."""

from __future__ import annotations

import json
import re

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.lab import report, run, site
from euca_rpc.lab.compare import Comparison, compare
from euca_rpc.lab.synthetic import Shape, generate
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size


@pytest.fixture(scope="module")
def found() -> Comparison:
    workload = generate(Shape(), 60)
    evil = Workload("</script><script>alert(1)</script>", workload.requests, workload.undefined)
    return compare(evil, run.Plan(site.alike(3, 8), "greedy"), ["greedy", "pack"], processes=1)


def test_it_holds_the_figures_and_asks_nobody(found: Comparison) -> None:
    page = report.html(found)
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=|@import|url\(", page)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    data = json.loads(held[1])
    assert data["workload"]["name"] == found.workload.name  # as it is, and not as an element of the page
    assert page.count("<script") == 3
    assert data["runs"] == json.loads(json.dumps(found.document()["runs"]))
    times = [at for at, *_ in data["runs"][0]["load"]]
    assert times == sorted(times)
    assert max(share for _, share, *_ in data["runs"][0]["load"]) <= 1


def test_it_shows_when_requests_were_refused_and_how_many_waited() -> None:
    """One node of four cores: b is too large for ever, c waits from 20 to 60 s."""
    sizes = {"a": (0, 4, 60), "b": (10, 8, 5), "c": (20, 4, 20), "d": (79, 1, 20)}
    requests = tuple(
        Request(key, at * SECOND, Size(cores, 0, 0), runs * SECOND)
        for key, (at, cores, runs) in sizes.items()
    )
    plan = run.Plan(site.alike(1, 4), "greedy", refused="wait")
    (one,) = compare(Workload("w", requests), plan, ["greedy"], processes=1).runs
    shown = {at: (refused, waiting) for at, _, _, refused, waiting in one.load}
    at = lambda seconds: shown[max(t for t in shown if t <= seconds)]
    assert [at(t) for t in (5, 11, 25, 59, 61, 98)] == [(0, 0), (1, 0), (1, 1), (1, 1), (1, 0), (1, 0)]


def test_what_is_not_defined_is_said_so() -> None:
    assert report.shown("fairness", None) == "not defined"
    assert report.shown("utilisation", 0.1234) == "12.3 %"
    assert report.shown("node_hours", 12345.6) == "12,346"
