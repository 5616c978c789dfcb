"""What authors of policies test with: nodes, and a little cloud that places machines under one policy and keeps them.

    [tool.pytest.ini_options]
    addopts = "-p euca_rpc.testing.policies"

    def test_it_fills_the_first_node(little_cloud):
        cloud = little_cloud(my_policy, node("z/a"), node("z/b"))
        assert cloud.launch(3) == ("z/a", "z/a", "z/a")

The engine is the cloud's own, called in the test's thread: a breakpoint in a hook is reached.  A hook that fails fails
the test, with the policy's own line.  `testing.contract` has the tests that every policy has to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from euca_rpc.clock import ManualClock, Micros
from euca_rpc.policy import refusal
from euca_rpc.policy.actions import Action
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.trial import Still
from euca_rpc.policy.values import Launch, LaunchClass, Lease, PolicyView, Target
from euca_rpc.types import Size

GB = 1024  # MiB
ARCHITECTURE = "x86_64"


def node(id: str, cores: int = 4, *, used: int = 0, **more: Any) -> Target:
    """An active node, named "zone/host", with 2 GiB of memory and 20 GiB of disk a core; ``used`` of its cores have a
    machine each.  ``more``: any field of `Target`."""
    usual = {
        "zone": id.partition("/")[0],
        "architecture": ARCHITECTURE,
        "offer": size(cores),
        "claimed": size(used),
        "usable": True,
        "machines": used,
    }
    return Target(id, **{**usual, **more})


def size(cores: int) -> Size:
    return Size(cores, 2 * GB * cores, 20 * cores)


class LittleCloud:
    """Machines that were launched stay until `end`; time stands still unless ``now`` is set."""

    def __init__(self, policy: Any, *nodes: Target, parameters: Mapping[str, Any] | None = None) -> None:
        self.targets = {one.id: one for one in nodes}
        self.clock = ManualClock()
        self.parameters = dict(parameters or {})
        self.totals: dict[str, float] = {}
        self._launches = 0
        self._engine = Engine({"mine": policy}, cloud_policy="mine", clock=self.clock, isolation=Inline())

    @property
    def now(self) -> Micros:
        return self.clock.now()

    @now.setter
    def now(self, moment: Micros) -> None:
        self.clock.at = moment

    def launch(
        self,
        count: int = 1,
        *,
        cores: int = 1,
        at_least: int | None = None,
        zone: str | None = None,
        hints: Mapping[str, str] | None = None,
        **more: Any,
    ) -> tuple[str, ...]:
        """The nodes that the machines went to, in order.  EucaError: not admitted, or no room for ``at_least`` (all of
        them).  ``more``: any field of `Launch`."""
        asked = self._launch(count, cores, at_least, zone, hints, more)
        given = tuple(sorted(asked.hints.items()))
        cls = LaunchClass(asked.vm_type, asked.size, ARCHITECTURE, zone, asked.service_class, given)
        self._launches += 1
        view = self._view()
        if (held := self._engine.admit(asked, view)) is not None:
            raise refusal.held(held)
        placed = self._engine.place(
            asked,
            cls,
            Still(self.targets, self._launches),
            view,
            count_min=asked.min_count,
            count_max=count,
            zone_policy={},
        )
        self._sound()
        for place, id in enumerate(placed.nodes):
            self._change(id, asked.size, +1, last_used=100 * self._launches + place)
        return placed.nodes

    def lease(self, *, cores: int = 1, **more: Any) -> Lease | None:
        """How long one machine might run; None: as long as it is wanted."""
        granted = self._engine.lease(self._launch(1, cores, None, None, None, more), self._view())
        return None if granted is None else granted.lease

    def tend(self, **seen: Any) -> list[Action]:
        """What the policy wants done.  ``seen``: fields of `PolicyView` that are otherwise empty (instances, waiting …)."""
        found = self._engine.tend("mine", replace(self._view(), **seen))
        self._sound()
        return found

    def end(self, id: str, cores: int = 1) -> None:
        """One machine of so many cores leaves the node."""
        self._change(id, size(cores), -1)

    def _launch(
        self,
        count: int,
        cores: int,
        at_least: int | None,
        zone: str | None,
        hints: Mapping[str, str] | None,
        more: Mapping[str, Any],
    ) -> Launch:
        usual = {"account_id": "100000000001", "user_id": "ann", "hints": dict(hints or {}), "zone": zone}
        return Launch(
            **{**usual, **more},
            vm_type=f"cores-{cores}",
            size=size(cores),
            architecture=ARCHITECTURE,
            min_count=count if at_least is None else at_least,
            max_count=count,
        )

    def _view(self) -> PolicyView:
        return PolicyView(
            self.now, self.targets, totals=self.totals, parameters=self.parameters, seed=self._launches
        )

    def _change(self, id: str, by: Size, machines: int, **more: Any) -> None:
        old = self.targets[id]
        claimed = old.claimed + by if machines > 0 else old.claimed - by
        new = replace(old, claimed=claimed, machines=old.machines + machines, version=old.version + 1, **more)
        self.targets = {**self.targets, id: new}

    def _sound(self) -> None:
        (status,) = self._engine.status()
        assert not status["failures"], status["last_failure"]


@pytest.fixture
def little_cloud() -> Callable[..., LittleCloud]:
    """``little_cloud(policy, *nodes, parameters={…})``"""
    return LittleCloud
