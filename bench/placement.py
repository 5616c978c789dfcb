"""Placements a second in one process, by number of nodes: admit → feasible → score → claim in memory, store excluded.

Steady state at 82 % of the cores: each turn ends one machine and places another; five VM types, 50 accounts, ten machines a
node.  Each point is a process of its own, so that its memory is its own.  `third-party` is a policy written against
nothing but the hooks.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from typing import Any

from immutables import Map

from euca_rpc.clock import ManualClock
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target
from euca_rpc.types import Size

SITES = (100, 1_000, 10_000, 100_000)
POLICIES = ("greedy", "round_robin", "least_full", "pack", "spread", "third-party")
NODE = Size(40, 160_000, 2_000)
TYPES = {
    "t1": Size(1, 1_024, 10),
    "t2": Size(2, 2_048, 10),
    "t3": Size(4, 4_096, 20),
    "t4": Size(8, 8_192, 40),
    "t5": Size(1, 4_096, 10),
}
ACCOUNTS = 50
FULL = 0.82
TURNS, WARM = 10_000, 2_000


class ThirdParty:
    """Admits by account, rules nodes out, scores by two resources."""

    @policy
    def admit(self, launch: Launch) -> None:
        return None

    @policy
    def feasible(self, cls: LaunchClass, target: Target) -> None:
        return None

    @policy
    def score(self, cls: LaunchClass, target: Target) -> float:
        cores = target.room.cores / target.offer.cores
        return 1.0 - abs(cores - target.room.memory_mb / target.offer.memory_mb)


class Snapshot:
    """As the cloud's view: numbered, persistent, with a log of what changed."""

    __slots__ = ("_log", "number", "targets")

    def __init__(self, number: int, targets: Map[str, Target], log: list[str]) -> None:
        self.number, self.targets, self._log = number, targets, log

    def targets_changed(self, since: int) -> list[str]:
        return self._log[since : self.number]


class Site:
    def __init__(self, name: str, nodes: int) -> None:
        self._draw = random.Random(1)
        plugins = {name: ThirdParty()} if name == "third-party" else load([name])
        self._engine = Engine(plugins, cloud_policy=name, clock=ManualClock(), isolation=Inline())
        self._wanted = [
            (Launch(f"a{n}", f"u{n}", kind, size, "x86_64", 1, 1), LaunchClass(kind, size, "x86_64"))
            for n in range(ACCOUNTS)
            for kind, size in TYPES.items()
        ]
        self.machines: list[tuple[str, Size]] = []
        self._log: list[str] = []
        self._used = self._cores = 0
        self._full = int(nodes * NODE.cores * FULL)
        names = [f"z/{n:06}" for n in range(nodes)]
        claimed = dict.fromkeys(names, Size())
        held = dict.fromkeys(names, 0)
        while self._cores < self._full:
            node, size = self._draw.choice(names), self._draw.choice(self._wanted)[1].size
            if size.fits(NODE - claimed[node]):
                claimed[node], held[node] = claimed[node] + size, held[node] + 1
                self.machines.append((node, size))
                self._cores += size.cores
        targets = {n: Target(n, "z", "x86_64", NODE, claimed[n], True, machines=held[n]) for n in names}
        self._now = Snapshot(0, Map(targets), self._log)

    def turn(self) -> None:
        """End machines until the share is right again, then place one."""
        while self._cores >= self._full:
            at = self._draw.randrange(len(self.machines))
            self.machines[at], self.machines[-1] = self.machines[-1], self.machines[at]
            node, size = self.machines.pop()
            self._change(node, Size() - size, 0)
        launch, cls = self._draw.choice(self._wanted)
        view = PolicyView(0, self._now.targets)
        self._engine.admit(launch, view)
        placed = self._engine.place(launch, cls, self._now, view, count_min=1, count_max=1, zone_policy={})
        self._used += 1
        self._change(placed.nodes[0], cls.size, self._used)
        self.machines.append((placed.nodes[0], cls.size))

    def _change(self, node: str, by: Size, used: int) -> None:
        t, number = self._now.targets[node], self._now.number + 1
        claimed = t.claimed + by
        assert claimed.fits(t.offer)
        machines = t.machines + (1 if used else -1)
        new = Target(
            t.id,
            t.zone,
            t.architecture,
            t.offer,
            claimed,
            True,
            "",
            used or t.last_used,
            machines,
            version=number,
        )
        self._log.append(node)
        self._now = Snapshot(number, self._now.targets.set(node, new), self._log)
        self._cores += by.cores


def point(name: str, nodes: int, turns: int) -> dict[str, Any]:
    site = Site(name, nodes)
    for _ in range(WARM):
        site.turn()
    began = time.perf_counter()
    for _ in range(turns):
        site.turn()
    rate = turns / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"policy": name, "nodes": nodes, "machines": len(site.machines), "rate": rate, "memory_mb": peak}


def placement(turns: int = TURNS) -> list[dict[str, Any]]:
    """One row a policy and size, one process after another."""
    rows = []
    for name in POLICIES:
        for nodes in SITES:
            command = [sys.executable, "-m", "bench.placement", name, str(nodes), str(turns)]
            rows.append(
                json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            )
    return rows


if __name__ == "__main__":
    print(json.dumps(point(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
