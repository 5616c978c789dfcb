"""What `docs/ec2-coverage.md` says of each parameter is so, seen on a real cloud controller.

The same request is asked of two copies of one world, with the parameter and without it.  An outcome is the answer and
everything that the cloud then holds.  Effective parameters change it, ignored ones do not.
"""

from __future__ import annotations

import pytest
from ec2_world import CASES, ROOT, Whole

from euca_ec2 import coverage
from euca_ec2.operations import ACTIONS

IGNORED = {(a, wire.name) for a, it in ACTIONS.items() for wire in coverage.wires(it.request) if wire.ignored}


def test_every_parameter_of_every_operation_has_its_case():
    said = {(action, wire.name) for action, it in ACTIONS.items() for wire in coverage.wires(it.request)}
    tried = {(action, name) for action, (_, cases) in CASES.items() for name in cases}
    assert said == tried


@pytest.mark.parametrize(
    ("action", "name"),
    [(action, name) for action, (_, cases) in CASES.items() for name in cases],
    ids=[f"{action}-{name}" for action, (_, cases) in CASES.items() for name in cases],
)
def test_parameter(action, name, twins):
    base, cases = CASES[action]
    first, second = twins(action)
    given = cases[name](first)
    if isinstance(given, Whole):
        before, after = first.outcome(action, given.without), second.outcome(action, given.added)
    else:
        without, added = given if isinstance(given, tuple) else ({}, given)
        before = first.outcome(action, {**base(first), **without})
        after = second.outcome(action, {**base(second), **added})
    if (action, name) in IGNORED:
        assert before[0][0] == "200"
        assert before == after
    else:
        assert before != after
        assert "UnknownParameter" not in (before[0][0], after[0][0])


@pytest.mark.parametrize("action", CASES)
def test_the_same_request_has_the_same_outcome(action, twins):
    """Otherwise a difference would show nothing."""
    first, second = twins(action)
    assert first.outcome(action, CASES[action][0](first)) == second.outcome(action, CASES[action][0](second))


def test_the_document_is_what_the_code_says():
    path = ROOT / "docs" / "ec2-coverage.md"
    assert path.read_text() == coverage.document(), "run: python -m euca_ec2.coverage > docs/ec2-coverage.md"
