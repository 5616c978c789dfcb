"""Who fits is seen at a glance; that glance says the same as the core's own arithmetic, reason by reason."""

from __future__ import annotations

import itertools

from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.judging import NEUTRAL, Judge
from euca_rpc.policy.loader import bind
from euca_rpc.policy.ranking import Ranking, Zone, unfit
from euca_rpc.policy.values import LaunchClass, Target
from euca_rpc.types import Size

OFFERS = [Size(*parts) for parts in itertools.product((1, 2), (512, 1024), (5, 10))]


def test_the_glance_and_the_arithmetic_agree() -> None:
    cls = LaunchClass("t", Size(2, 1024, 10), "x86_64")
    targets = [
        Target(f"{zone}/{offer}", zone, architecture, offer, Size(), usable)
        for zone in ("west", "east")
        for architecture in ("x86_64", "aarch64", "")
        for usable in (True, False)
        for offer in OFFERS
    ]
    ranking = Ranking("none", cls, Zone(), {})
    verdicts = Inline().run(
        lambda calls: Judge(calls, bind("none", object()), ranking, "west", True, lambda *told: None)(targets)
    )
    assert verdicts == [unfit(cls, "west", target) or NEUTRAL for target in targets]
    assert {"zone", "architecture", "unusable", "room", NEUTRAL} == set(verdicts)
