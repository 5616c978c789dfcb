"""A hundred thousand operations: the engine's heaps and caches against a walk over all nodes each time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from immutables import Map

from euca_rpc.clock import ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.policy import ranking
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import bind, load
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target
from euca_rpc.types import Size

OPERATIONS = 20_000  # of each of the five policies
NODES = 24
SIZES = {"s": Size(1, 2, 1), "m": Size(2, 2, 2), "l": Size(4, 8, 4), "x": Size(8, 24, 2)}


class Snapshot:
    def __init__(self, number: int, targets: Map[str, Target], log: list[str]) -> None:
        self.number, self.targets, self._log = number, targets, log

    def targets_changed(self, since: int) -> list[str]:
        return self._log[since : self.number]


class Site:
    def __init__(self, draw: random.Random) -> None:
        self.log: list[str] = []
        names = [f"z1/{n:02}" for n in range(NODES)]
        sizes = [Size(8, 32, 12), Size(16, 24, 20), Size(4, 64, 30)]
        self.now = Snapshot(
            0, Map({n: Target(n, "z1", "x86_64", draw.choice(sizes), Size(), True) for n in names}), self.log
        )
        self.machines: list[tuple[str, Size]] = []
        self.used = 0

    def put(self, target: Target) -> None:
        self.log.append(target.id)
        number = self.now.number + 1
        self.now = Snapshot(
            number, self.now.targets.set(target.id, replace(target, version=number)), self.log
        )

    def start(self, node: str, size: Size) -> None:
        self.used += 1
        t = self.now.targets[node]
        assert size.fits(t.room), "never over what is offered"
        self.put(replace(t, claimed=t.claimed + size, machines=t.machines + 1, last_used=self.used))
        self.machines.append((node, size))

    def stop(self, index: int) -> None:
        node, size = self.machines.pop(index)
        t = self.now.targets[node]
        self.put(replace(t, claimed=t.claimed - size, machines=t.machines - 1))


def walk(score: object, cls: LaunchClass, site: Site, count: int) -> tuple[str, ...] | None:
    """All nodes, each time, and no memory."""
    targets, chosen = dict(site.now.targets.items()), []
    used = max(t.last_used for t in targets.values())
    for n in range(count):
        fits = [t for t in targets.values() if t.usable and cls.size.fits(t.room)]
        if not fits:
            return None
        best = min(fits, key=lambda t: (-score(cls, t), t.id))  # type: ignore[operator]
        chosen.append(best.id)
        targets[best.id] = replace(
            best,
            claimed=best.claimed + cls.size,
            machines=best.machines + 1,
            batch=best.batch + 1,
            last_used=used + n + 1,
        )
    return tuple(chosen)


@pytest.mark.parametrize("policy", ["greedy", "round_robin", "least_full", "pack", "spread"])
def test_the_engine_chooses_what_a_walk_over_all_nodes_would(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "MOST_NEWS", 3 * NODES)  # so the list of news is begun anew often
    draw = random.Random(policy)
    site = Site(draw)
    plugins = load([policy])
    score = bind(policy, plugins[policy]).hooks["score"]
    engine = Engine(plugins, cloud_policy=policy, clock=ManualClock(), isolation=Inline())
    placed = refused = 0
    for _ in range(OPERATIONS):
        what = draw.random()
        if what < 0.50:
            name, count = draw.choice(list(SIZES)), draw.choice((1, 1, 1, 2, 4))
            size = SIZES[name]
            cls = LaunchClass(name, size, "x86_64")
            launch = Launch("1", "u", name, size, "x86_64", count, count)
            view = PolicyView(0, site.now.targets)
            try:
                found = engine.place(
                    launch, cls, site.now, view, count_min=count, count_max=count, zone_policy={}
                ).nodes
            except EucaError:
                found = None
            assert found == walk(score, cls, site, count)
            placed, refused = placed + (found is not None), refused + (found is None)
            for node in found or ():
                site.start(node, size)
        elif what < 0.98 and site.machines:
            site.stop(draw.randrange(len(site.machines)))
        else:
            target = site.now.targets[f"z1/{draw.randrange(NODES):02}"]
            site.put(replace(target, usable=not target.usable))
    assert placed > OPERATIONS / 10
    assert refused > 20
