"""The report: one file that needs nothing else, whatever a trace calls its things."""

from __future__ import annotations

import json
import re

import pytest

from euca_rpc.lab import report, run, site
from euca_rpc.lab.compare import Comparison, compare
from euca_rpc.lab.synthetic import Shape, generate
from euca_rpc.lab.workload import Workload


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
    times = [at for at, _, _ in data["runs"][0]["load"]]
    assert times == sorted(times)
    assert max(share for _, share, _ in data["runs"][0]["load"]) <= 1


def test_what_is_not_defined_is_said_so() -> None:
    assert report.shown("fairness", None) == "not defined"
    assert report.shown("utilisation", 0.1234) == "12.3 %"
    assert report.shown("node_hours", 12345.6) == "12,346"
