"""Between the cloud's view and the policy engine: what a policy is shown, and the proposal that comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from immutables import Map

from euca_rpc.clock import Clock, Micros
from euca_rpc.cloud import published
from euca_rpc.cloud.policies import PARAMETER, of_zones
from euca_rpc.cloud.totals import Totals
from euca_rpc.cloud.view import View
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.values import Granted, Launch, LaunchClass, Placement, PolicyView
from euca_rpc.types import Setting


class EnginePlacer:
    """A `instances.Placer` over the engine: admit first, then place, on one snapshot."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def place(
        self, wanted: Launch, cls: LaunchClass, view: View, count_min: int, count_max: int
    ) -> Placement:
        shown = self._shown(view)
        self._engine.admit(wanted, shown)
        return self._engine.place(
            wanted,
            cls,
            view,
            shown,
            count_min=count_min,
            count_max=count_max,
            zone_policy=_of_zones(view.zones, view.settings),
        )

    def lease(self, wanted: Launch, view: View) -> Granted | None:
        return self._engine.lease(wanted, self._shown(view))

    def _shown(self, view: View) -> PolicyView:
        return shown(view, self._clock.now())


def shown(view: View, now: Micros) -> PolicyView:
    """What policies see of the cloud.  Nothing in it can be changed: they share it with each other and the next launch."""
    return PolicyView(
        now=now,
        targets=view.targets,
        totals=Totals(view.counters, now) if view.counters else Map(),
        published=published.shown(view.settings),
        parameters=_parameters(view.settings),
        seed=view.number,
        instances=view.instances,
        reservations=view.reservations,
        leases=view.leases,
        waiting=view.waiting,
        usage=view.tallies,
    )


_of_zones = lru_cache(maxsize=4)(of_zones)


@lru_cache(maxsize=4)
def _parameters(settings: Map[str, Setting]) -> Mapping[str, Any]:
    """Settings named ``policy.…`` are the parameters that policies see."""
    said = {
        key.removeprefix(PARAMETER): json.loads(row.value)
        for key, row in settings.items()
        if key.startswith(PARAMETER)
    }
    return Map({name: tuple(value) if isinstance(value, list) else value for name, value in said.items()})
