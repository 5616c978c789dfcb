"""Between the cloud's view and the policy engine: what a policy is shown, and the proposal that comes back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from immutables import Map

from euca_rpc.clock import Clock, Micros
from euca_rpc.cloud import published
from euca_rpc.cloud.policies import PARAMETER, of_cloud, of_zones
from euca_rpc.cloud.totals import Totals
from euca_rpc.cloud.view import View
from euca_rpc.policy import refusal
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.values import Granted, Held, Launch, LaunchClass, Placement, PolicyView
from euca_rpc.types import Setting


class EnginePlacer:
    """A `instances.Placer` over the engine: admit first, then place, on one snapshot."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def place(
        self,
        wanted: Launch,
        cls: LaunchClass,
        view: View,
        count_min: int,
        count_max: int,
        passed: Collection[str] = (),
    ) -> Placement | Held:
        shown = self._shown(view)
        held = self._engine.admit(wanted, shown, passed)
        if held is not None:
            return held
        zones, policy = _of_zones(view.zones, view.settings), self._in_force(view)
        if self._engine.arranges(policy):
            launch = replace(wanted, min_count=count_min, max_count=count_max)
            arranged = self._engine.arrange(policy, [launch], shown, zones)
            if arranged is not None:
                if not arranged[0]:
                    raise refusal.not_now(policy, launch)
                return Placement(arranged[0], policy)
        return self._engine.place(
            wanted, cls, view, shown, count_min=count_min, count_max=count_max, zone_policy=zones
        )

    def admit(self, wanted: Launch, view: View, passed: Collection[str] = ()) -> Held | None:
        return self._engine.admit(wanted, self._shown(view), passed)

    def arranger(self, view: View) -> str:
        policy = self._in_force(view)
        return policy if self._engine.arranges(policy) else ""

    def arrange(self, launches: Sequence[Launch], view: View) -> list[tuple[str, ...]] | None:
        zones = _of_zones(view.zones, view.settings)
        return self._engine.arrange(self._in_force(view), launches, self._shown(view), zones)

    def _in_force(self, view: View) -> str:
        return of_cloud(view.settings) or self._engine.cloud_policy

    def lease(self, wanted: Launch, view: View) -> Granted | None:
        return self._engine.lease(wanted, self._shown(view)) if self._engine.limits else None

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
