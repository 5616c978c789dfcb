"""A simulation that catches nothing proves nothing: each planted bug has to be caught within a few seeds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from euca_rpc.testing.campaign import THEMES, Campaign
from euca_rpc.testing.history import Broken

_spec = importlib.util.spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
assert _spec is not None
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)  # type: ignore[union-attr]

WITHIN = 30  # seeds; most are caught by the first or second


@pytest.mark.parametrize("name", planted.BUGS)
def test_a_planted_bug_is_caught(memory, monkeypatch, name):
    planted.BUGS[name](monkeypatch.setattr)
    theme = planted.THEMES.get(name)
    known = planted.SEEDS.get(name)
    rest = sorted(range(WITHIN), key=lambda n: THEMES[n % len(THEMES)] != theme)
    for seed in rest if known is None else [known, *rest]:
        campaign = None
        try:
            campaign = Campaign(
                memory / str(seed),
                seed,
                captures=name in planted.CAPTURES,
                queues=name in planted.QUEUES,
                restless=name in planted.RESTLESS,
            )
            campaign.run()
        except Broken as broken:
            print(f"{name}: caught by seed {seed}: {str(broken).splitlines()[0]}")
            return
        finally:
            if campaign is not None:
                campaign.world.close()
    pytest.fail(f"{name} was not caught within {WITHIN} seeds")
