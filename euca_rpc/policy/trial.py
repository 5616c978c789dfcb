"""A policy is tried before it is put in force: on the nodes as they are, and on the same nodes when they are empty.

    each launch class × (present targets, emptied ones) ─► an engine of its own ─► the first trouble, or none

The engine is the one of the cloud's launches, so what passes here is what passes there; this one has a thread and a
lock of its own, so nobody's launch waits for a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from euca_rpc.clock import Clock
from euca_rpc.errors import EucaError
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import BUDGET, Calls, Hung, Raised, Watched
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target
from euca_rpc.types import Size

LONGEST = 15.0  # seconds for all of it: half of what the command line waits


@dataclass(frozen=True, slots=True)
class Still:
    """A snapshot that nothing is known to have come before."""

    targets: Mapping[str, Target]
    number: int = 1

    def targets_changed(self, since: int) -> None:
        return None


def trial(
    name: str,
    plugin: Any,
    classes: Iterable[LaunchClass],
    view: PolicyView,
    clock: Clock,
    *,
    budget: float = BUDGET,
    longest: float = LONGEST,
) -> str:
    """What went wrong first, "" if nothing did.  That it refuses launches is nothing wrong."""
    engine = Engine({name: plugin}, cloud_policy=name, clock=clock, budget=budget, trip_after=1)
    watch = Watched(longest)

    def job(calls: Calls) -> str:
        said: str = calls.call(name, "its trial", _try_all, engine, name, tuple(classes), view)
        return said

    try:
        return watch.run(job)
    except (Hung, Raised) as trouble:
        return str(trouble)
    finally:
        watch.close()
        engine.close()


def _try_all(engine: Engine, name: str, classes: Iterable[LaunchClass], view: PolicyView) -> str:
    emptied = {id: replace(t, claimed=Size(), machines=0, usable=True) for id, t in view.targets.items()}
    for cls in classes:
        launch = Launch("000000000000", "trial", cls.vm_type, cls.size, cls.architecture, 1, 1)
        for number, targets in enumerate((view.targets, emptied), 1):
            seen = replace(view, targets=targets)
            with suppress(EucaError):  # refused
                engine.admit(launch, seen)
            with suppress(EucaError):
                engine.lease(launch, seen)
            engine.arrange(name, [launch], seen, {})
            engine.tend(name, seen)
            with suppress(EucaError):
                engine.place(
                    launch, cls, Still(targets, number), seen, count_min=1, count_max=1, zone_policy={}
                )
            (status,) = engine.status()
            if status["state"] != "ok":
                return f"{status['last_failure']}, asked about {cls.vm_type}"
    return ""
