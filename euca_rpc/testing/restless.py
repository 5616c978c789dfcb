"""A policy that cannot leave anything as it is: evicts, drains, puts to sleep and wakes, as a seeded chance says.

For simulations, whose history is held against the notices that it gives.
"""

from __future__ import annotations

from random import Random

from euca_rpc.clock import SECOND, Micros
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Action, Drain, Evict, Publish, Sleep, Undrain, Wake, Warn
from euca_rpc.policy.values import PolicyView
from euca_rpc.types import Intent

NOTICES: tuple[Micros, ...] = (20 * SECOND, 90 * SECOND)


class Restless:
    TEND_EVERY = 20.0

    def __init__(self) -> None:
        self.still = False  # from now on all are woken, and nobody has to go

    @policy
    def tend(self, view: PolicyView) -> list[Action]:
        nodes = sorted(view.targets.values(), key=lambda t: t.id)
        if self.still:
            return [
                *(Wake(t.id, "All is over.") for t in nodes if t.power == "asleep"),
                *(Undrain(t.id) for t in nodes if t.drained_by),
            ]
        chance = Random(f"{view.seed}/{view.now}")  # noqa: S311  repeatable on purpose
        found: list[Action] = [Publish("mood", chance.randint(1, 3))]
        running = sorted(
            i.id
            for i in view.instances.values()
            if i.intent is Intent.RUNNING and i.node and i.ended_at is None
        )
        for id in running:
            if chance.random() < 0.05:
                found.append(Evict(id, "It had its time.", chance.choice(NOTICES)))
            elif chance.random() < 0.05:
                found.append(Warn(id, "It may have to go."))
        for t in nodes:
            if t.power == "asleep" and chance.random() < 0.3:
                found.append(Wake(t.id, "Somebody may come."))
            elif t.power == "on" and not t.machines and t.sleeps and chance.random() < 0.1:
                found.append(Sleep(t.id, "Nobody is there."))
            elif t.usable and chance.random() < 0.03:
                found.append(Drain(t.id, "It is tired."))
            elif t.drained_by and chance.random() < 0.3:
                found.append(Undrain(t.id))
        return found
