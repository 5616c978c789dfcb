"""Whatever the nodes, the policy and the order of events: never over what is offered; same snapshot, same proposal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from euca_rpc.clock import ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, LaunchClass, Placement, PolicyView, Target
from euca_rpc.types import Size

POLICIES = ("greedy", "round_robin", "least_full", "pack", "spread")


@dataclass(frozen=True)
class Shot:
    number: int = 0
    targets: Mapping[str, Target] = field(default_factory=dict)
    log: tuple[tuple[str, ...], ...] = ()

    def targets_changed(self, since: int) -> Iterable[str] | None:
        return [id for ids in self.log[since : self.number] for id in ids]

    def change(self, *changed: Target, gone: Iterable[str] = ()) -> Shot:
        number = self.number + 1
        targets = {**self.targets, **{t.id: replace(t, version=number) for t in changed}}
        for id in gone:
            targets.pop(id, None)
        return Shot(number, targets, (*self.log, (*(t.id for t in changed), *gone)))


sizes = st.builds(Size, st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
needs = st.builds(Size, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))
nodes = st.builds(
    lambda zone, host, offer, claimed, usable, arch, used: Target(
        f"{zone}/{host}", zone, arch, offer, claimed, usable, last_used=used
    ),
    st.sampled_from(["z1", "z2", "z3"]),
    st.sampled_from("abcd"),
    sizes,
    sizes,
    st.booleans() | st.just(True),
    st.sampled_from(["x86_64", "x86_64", "x86_64", "aarch64"]),
    st.integers(0, 9),
)
launches = st.tuples(
    needs, st.integers(1, 4), st.integers(0, 8), st.sampled_from([None, None, "z1", "z2", "z9"])
)
policies = st.fixed_dictionaries({}, optional={z: st.sampled_from(POLICIES) for z in ("z1", "z2")})


def place(
    e: Engine, s: Shot, ask: tuple[Size, int, int, str | None], own: Mapping[str, str]
) -> Placement | EucaError:
    size, low, more, zone = ask
    launch = Launch("1", "u", "t", size, "x86_64", low, low + more, zone)
    cls = LaunchClass(f"t{size}", size, "x86_64", zone)
    try:
        return e.place(
            launch, cls, s, PolicyView(0, s.targets), count_min=low, count_max=low + more, zone_policy=own
        )
    except EucaError as refused:
        return refused


def fresh(cloud: str) -> Engine:
    return Engine(load(POLICIES), cloud_policy=cloud, clock=ManualClock(), isolation=Inline())


def room(s: Shot, size: Size, zone: str | None) -> int:
    return sum(
        size.count_in(t.room)
        for t in s.targets.values()
        if t.usable and t.architecture == "x86_64" and zone in (None, t.zone) and size.fits(t.room)
    )


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(POLICIES),
    st.lists(nodes, max_size=10),
    st.lists(
        st.tuples(launches, policies, st.booleans(), st.lists(nodes, max_size=2), st.integers(0, 20)),
        max_size=8,
    ),
)
def test_never_over_what_is_offered_and_same_snapshot_same_proposal(cloud, first, steps) -> None:  # type: ignore[no-untyped-def]
    e = fresh(cloud)
    s = Shot().change(*first)
    history = [s]
    for ask, own, commit, changed, look_back in steps:
        at = history[-1 - look_back % len(history)]  # the engine may be asked for any snapshot, in any order
        said = place(e, at, ask, own)
        size, low, more, zone = ask
        there = room(at, size, zone)
        if isinstance(said, Placement):
            assert len(said.nodes) == min(low + more, there)
            for node, n in Counter(said.nodes).items():
                t = at.targets[node]
                assert size.times(n).fits(t.room)
                assert t.usable
                assert t.architecture == "x86_64"
                assert zone in (None, t.zone)
            zones = {at.targets[node].zone for node in said.nodes}
            if any(room(at, size, z) >= low + more for z in ("z1", "z2", "z3")):
                assert len(zones) == 1, "one zone holds them all"
        else:
            assert said.symbol == "capacity_exhausted"
            assert there < low
            assert said.facts["room"] == there
            named = {one["target"] for one in said.facts["ruled_out"]}
            full = {t.id for t in at.targets.values() if room(Shot(0, {t.id: t}), size, zone) == 0}
            assert named == full, "every node that holds none is named, with why"
        again = place(fresh(cloud), at, ask, own)
        assert str(again) == str(said), "a new engine says the same"
        s = history[-1]
        if commit and at is s and isinstance(said, Placement):
            for node in said.nodes:
                t = s.targets[node]
                s = s.change(
                    replace(t, claimed=t.claimed + size, machines=t.machines + 1, last_used=s.number + 10)
                )
        if changed:
            s = s.change(changed[0], gone=[t.id for t in changed[1:] if t.id != changed[0].id])
        if s is not history[-1]:
            history.append(s)
