"""Placement by the engine: the built-in policies through their entry points, zones, batches, refusals, caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from euca_rpc.clock import ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy import refusal
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import Broken, bind, load
from euca_rpc.policy.values import (
    Granted,
    Held,
    Launch,
    LaunchClass,
    Lease,
    No,
    Placement,
    PolicyView,
    Target,
    Wait,
)
from euca_rpc.types import Size

SMALL = Size(1, 512, 4)


@dataclass(frozen=True)
class Shot:
    """A snapshot as the cloud's view gives it, with the log of what changed."""

    number: int = 1
    targets: Mapping[str, Target] = field(default_factory=dict)
    log: tuple[tuple[str, ...], ...] = ()
    forgets: bool = False

    def targets_changed(self, since: int) -> Iterable[str] | None:
        return None if self.forgets else [id for ids in self.log[since:] for id in ids]

    def with_(self, *changed: Target) -> Shot:
        log = self.log or ((),) * self.number
        numbered = {t.id: replace(t, version=self.number + 1) for t in changed}
        return replace(
            self,
            number=self.number + 1,
            targets={**self.targets, **numbered},
            log=(*log, tuple(numbered)),
        )

    def without(self, id: str) -> Shot:
        log = self.log or ((),) * self.number
        left = {k: t for k, t in self.targets.items() if k != id}
        return replace(self, number=self.number + 1, targets=left, log=(*log, (id,)))

    def claim(self, placed: Placement, size: Size = SMALL) -> Shot:
        shot = self
        for node in placed.nodes:
            used = 1 + max(t.last_used for t in shot.targets.values())
            t = shot.targets[node]
            shot = shot.with_(replace(t, claimed=t.claimed + size, machines=t.machines + 1, last_used=used))
        return shot


def node(id: str, cores: int = 4, **more: Any) -> Target:
    more.setdefault("architecture", "x86_64")
    more.setdefault("usable", True)
    return Target(
        id=id, zone=id.split("/")[0], offer=Size(cores, cores * 512, cores * 4), claimed=Size(), **more
    )


def shot(*nodes: Target) -> Shot:
    return Shot(targets={t.id: t for t in nodes})


def engine(*names: str, zone: str | None = None, **plugins: Any) -> Engine:
    policies = {**load(names), **plugins}
    return Engine(policies, cloud_policy=next(iter(policies)), clock=ManualClock(), isolation=Inline())


def place(
    e: Engine,
    s: Shot,
    count: int = 1,
    *,
    at_least: int | None = None,
    zone: str | None = None,
    size: Size = SMALL,
    zone_policy: Mapping[str, str] | None = None,
    hints: tuple[tuple[str, str], ...] = (),
    architecture: str = "x86_64",
) -> Placement:
    low = count if at_least is None else at_least
    launch = Launch("1", "u", "m1.small", size, architecture, low, count, zone, hints=dict(hints))
    cls = LaunchClass("m1.small", size, architecture, zone, hints=hints)
    view = PolicyView(now=0, targets=s.targets)
    return e.place(launch, cls, s, view, count_min=low, count_max=count, zone_policy=zone_policy or {})


def one_by_one(e: Engine, s: Shot, n: int) -> list[str]:
    nodes = []
    for _ in range(n):
        placed = place(e, s)
        nodes += placed.nodes
        s = s.claim(placed)
    return nodes


class Least:
    """A policy made for tests: the best is the highest host name."""

    @policy
    def score(self, target: Target) -> float:
        return ord(target.id[-1]) / 256


# ------------------------------------------------------------------------------------------------ built-ins
def test_greedy_fills_the_first_node_by_id() -> None:
    s = shot(node("z1/c", 2), node("z1/a", 2), node("z1/b", 2))
    assert one_by_one(engine("greedy"), s, 6) == ["z1/a", "z1/a", "z1/b", "z1/b", "z1/c", "z1/c"]
    assert place(engine("greedy"), s, 5).nodes == ("z1/a", "z1/a", "z1/b", "z1/b", "z1/c")


def test_round_robin_goes_on_after_a_restart() -> None:
    s = shot(node("z1/a", 8), node("z1/b", 8), node("z1/c", 8))
    placed = place(engine("round_robin"), s, 4)
    assert placed.nodes == ("z1/a", "z1/b", "z1/c", "z1/a")
    s = s.claim(placed)
    assert one_by_one(engine("round_robin"), s, 3) == ["z1/b", "z1/c", "z1/a"], "its position is in last_used"


def test_round_robin_tells_neighbours_apart_after_a_billion_launches() -> None:
    far = 10**9
    s = shot(node("z1/a", last_used=far + 1), node("z1/b", last_used=far), node("z1/c", last_used=far + 2))
    assert place(engine("round_robin"), s, 3).nodes == ("z1/b", "z1/a", "z1/c")


def test_least_full_takes_the_largest_free_share() -> None:
    s = shot(node("z1/a", 4), node("z1/b", 8), node("z1/c", 2))
    assert place(engine("least_full"), s, 7).nodes == (
        "z1/a",
        "z1/b",
        "z1/c",
        "z1/b",
        "z1/a",
        "z1/b",
        "z1/b",
    )


def test_least_full_judges_by_what_is_scarcest() -> None:
    half = replace(node("z1/a", 8), claimed=Size(1, 3000, 1))
    assert place(engine("least_full"), shot(half, replace(node("z1/b", 8), claimed=Size(4, 0, 0)))).nodes == (
        "z1/b",
    )


def test_pack_leaves_the_least_over_judged_by_what_was_asked_for() -> None:
    s = shot(
        node("z1/a", 8),
        replace(node("z1/b", 8), claimed=Size(5, 0, 0)),  # 3 of 8 cores free
        replace(node("z1/c", 2), claimed=Size(1, 0, 0)),  # 1 of 2: exactly what is asked for
        replace(node("z1/d", 8), claimed=Size(8, 0, 0)),
    )
    assert place(engine("pack"), s, 5).nodes == ("z1/c", "z1/b", "z1/b", "z1/b", "z1/a")


def test_spread_gives_every_node_one_before_any_gets_two() -> None:
    s = shot(node("z1/a", 16), node("z1/b", 2), node("z1/c", 4))
    assert place(engine("spread"), s, 7).nodes == (
        *("z1/a", "z1/b", "z1/c"),  # all empty: by id
        *("z1/a", "z1/c", "z1/b"),  # a second one each, the emptiest first
        "z1/a",
    )
    s = s.claim(place(engine("spread"), s, 3))
    assert place(engine("spread"), s, 1).nodes == (
        "z1/a",
    )  # another reservation: what went before does not count


# ---------------------------------------------------------------------------------------------------- zones
def test_a_named_zone_is_binding() -> None:
    s = shot(node("z1/a"), node("z2/a"))
    assert place(engine("greedy"), s, 2, zone="z2").nodes == ("z2/a", "z2/a")
    with pytest.raises(EucaError) as refused:
        place(engine("greedy"), s, 5, zone="z2")
    assert refused.value.symbol == "capacity_exhausted"
    assert refused.value.facts["room"] == 4
    with pytest.raises(EucaError, match="there is no room"):
        place(engine("greedy"), s, zone="z9")


def test_all_in_one_zone_if_one_holds_them_all() -> None:
    s = shot(node("z1/a", 2), node("z2/a", 4))
    assert place(engine("greedy"), s, 2).nodes == ("z1/a", "z1/a")
    assert place(engine("greedy"), s, 3).nodes == ("z2/a", "z2/a", "z2/a")


def test_zones_are_spanned_when_none_holds_them_all_the_roomiest_first() -> None:
    s = shot(node("z1/a", 1), node("z2/a", 4), node("z3/a", 2))
    assert place(engine("greedy"), s, 5).nodes == ("z2/a",) * 4 + ("z3/a",)
    assert place(engine("greedy"), s, 100, at_least=1).nodes == ("z2/a",) * 4 + ("z3/a",) * 2 + ("z1/a",)
    with pytest.raises(EucaError) as refused:
        place(engine("greedy"), s, 100, at_least=8)
    assert refused.value.facts["room"] == 7


def test_a_zone_may_have_a_policy_of_its_own() -> None:
    s = shot(node("z1/a", 2), node("z1/b", 2), node("z2/a", 2), node("z2/b", 2))
    e = engine("greedy", own=Least())
    own = {"z2": "own"}
    assert place(e, s, zone="z1", zone_policy=own) == Placement(("z1/a",), "greedy")
    assert place(e, s, zone="z2", zone_policy=own) == Placement(("z2/b",), "own")
    assert place(e, s, 5, zone_policy=own) == Placement(
        ("z1/a", "z1/a", "z1/b", "z1/b", "z2/b"), "greedy+own"
    )


def test_a_policy_in_force_that_is_not_loaded_closes_its_zone_only() -> None:
    s = shot(node("z1/a"), node("z2/a"))
    e = engine("greedy")
    assert place(e, s, zone_policy={"z1": "gone"}).nodes == ("z2/a",)
    with pytest.raises(
        EucaError, match=r"Policy gone cannot answer .*in force in zone z1 but not loaded"
    ) as it:
        place(e, s, zone="z1", zone_policy={"z1": "gone"})
    assert it.value.symbol == "policy_failed"


# ------------------------------------------------------------------------------------------------- refusals
def test_a_refusal_names_every_node_and_why() -> None:
    class NoGpu:
        @policy
        def feasible(self, target: Target) -> No | None:
            return No("It has no accelerator.", "hardware") if target.id == "z1/f" else None

    s = shot(
        node("z1/a", 2),
        node("z1/b", architecture="aarch64"),
        node("z1/c", usable=False, why="silent since 2026-11-22 10:31:05Z"),
        replace(node("z1/d", 2), claimed=Size(2, 0, 0)),
        node("z2/e"),
        node("z1/f"),
        node("z1/g", usable=False, architecture="", why="not heard since the cloud controller started"),
    )
    with pytest.raises(EucaError) as refused:
        place(engine(own=NoGpu()), s, 5, at_least=3, zone="z1")
    e = refused.value
    assert e.symbol == "capacity_exhausted"
    assert {k: e.facts[k] for k in ("asked", "at_least", "room", "zone")} == {
        "asked": 5,
        "at_least": 3,
        "room": 2,
        "zone": "z1",
    }
    assert {(r["target"], r["kind"], r["reason"]) for r in e.facts["ruled_out"]} == {
        ("z1/b", "architecture", "Its architecture is aarch64, the image's is x86_64."),
        ("z1/c", "unusable", "It is silent since 2026-11-22 10:31:05Z."),
        ("z1/d", "room", "It has 0 cores, 1024 MiB, 8 GiB free; m1.small needs 1 cores, 512 MiB, 4 GiB."),
        ("z2/e", "zone", "It is in zone z2; zone z1 was asked for."),
        ("z1/f", "hardware", "It has no accelerator."),
        ("z1/g", "unusable", "It is not heard since the cloud controller started."),
    }
    assert e.sentence.startswith(
        "Asked for 3 to 5 × m1.small (1 cores, 512 MiB, 4 GiB each, x86_64) in zone z1: there is room for 2."
    )
    assert "2 not usable" in e.sentence
    assert "Ask for fewer or smaller machines or another zone" in e.sentence


# --------------------------------------------------------------------------------------------------- batches
def test_feasible_sees_the_machines_already_placed_in_the_batch() -> None:
    class Two:
        @policy
        def feasible(self, target: Target) -> No | None:
            return No("Two are enough.") if target.machines >= 2 else None

    assert place(engine(own=Two()), shot(node("z1/a", 9), node("z1/b", 9)), 9, at_least=1).nodes == (
        "z1/a",
        "z1/a",
        "z1/b",
        "z1/b",
    )


# ---------------------------------------------------------------------------------------------------- caches
class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []

    @policy
    def score(self, target: Target) -> float:
        self.asked.append(target.id)
        return 1 - target.machines / 100


def test_only_targets_that_changed_are_scored_again() -> None:
    own = Counting()
    e = engine(own=own)
    s = shot(*(node(f"z1/n{i:03}") for i in range(100)))
    s = s.claim(place(e, s))
    assert len(own.asked) == 100
    own.asked.clear()
    for i in range(10):
        placed = place(e, s)
        assert placed.nodes == (f"z1/n{i + 1:03}",)
        s = s.claim(placed)
    assert own.asked == [f"z1/n{i:03}" for i in range(10)]


def test_an_older_snapshot_still_gets_its_own_answer() -> None:
    e = engine("least_full")
    s1 = shot(node("z1/a"), node("z1/b"))
    s2 = s1.claim(place(e, s1))
    s3 = s2.claim(place(e, s2)).without("z1/a").with_(node("z2/q", 64))
    for s in (s3, s1, s2, s1, s3, s2):
        assert place(e, s) == place(engine("least_full"), s)
        assert place(e, s, 3) == place(engine("least_full"), s, 3)


def test_a_snapshot_that_forgot_what_changed_is_looked_at_as_a_whole() -> None:
    e = engine("greedy")
    s = shot(node("z1/a"))
    place(e, s)
    later = replace(s.without("z1/a").with_(node("z1/b")), forgets=True)
    assert place(e, later).nodes == ("z1/b",)


def test_only_declared_hints_reach_a_policy_and_its_cache() -> None:
    class Rack:
        HINTS = ("rack",)

        def __init__(self) -> None:
            self.seen: list[tuple[tuple[str, str], ...]] = []

        @policy
        def score(self, cls: LaunchClass) -> float:
            self.seen.append(cls.hints)
            return 0.5

    own = Rack()
    e = engine(own=own)
    s = shot(node("z1/a"))
    place(e, s, hints=(("rack", "7"), ("colour", "red")))
    place(e, s, hints=(("rack", "7"), ("colour", "blue")))
    assert own.seen == [(("rack", "7"),)]


# ------------------------------------------------------------------------------------------------- admission
def admitting(answer: Any) -> Any:
    class Admits:
        @policy
        def admit(self, launch: Launch, view: PolicyView) -> Any:
            return answer(launch, view)

    return Admits()


LAUNCH = Launch("1", "u", "m1.small", SMALL, "x86_64", 1, 1)
VIEW = PolicyView(now=5, targets={})


def test_every_loaded_policy_is_asked_to_admit() -> None:
    seen: list[str] = []
    e = engine(
        "greedy",
        one=admitting(lambda launch, view: seen.append(launch.user_id)),
        two=admitting(lambda launch, view: seen.append(str(view.now))),
    )
    e.admit(LAUNCH, VIEW)
    assert seen == ["u", "5"]


def test_a_policy_refuses_with_its_own_sentence() -> None:
    e = engine("greedy", own=admitting(lambda launch, view: No("No launches on Sundays.", "calendar")))
    with pytest.raises(EucaError) as refused:
        e.admit(LAUNCH, VIEW)
    assert (refused.value.symbol, refused.value.sentence) == ("policy_refused", "No launches on Sundays.")
    assert refused.value.facts == {"policy": "own", "kind": "calendar"}
    e = engine(
        "greedy", own=admitting(lambda launch, view: Wait("The cloud is saved for a class.", 86_400_000_000))
    )
    held = e.admit(LAUNCH, VIEW)
    assert held == Held("own", Wait("The cloud is saved for a class.", 86_400_000_000))
    impatient = refusal.held(held)
    assert impatient.sentence == "The cloud is saved for a class. Try again after 1970-01-02T00:00:00.000Z."
    assert (impatient.symbol, impatient.facts["until"]) == ("policy_refused", 86_400_000_000)


def _wait(until):
    return lambda launch, view: Wait("Not yet.", until)


def test_of_several_who_hold_a_launch_the_one_that_asks_again_first_is_named_and_a_no_counts_more() -> None:
    late, soon = (admitting(_wait(at)) for at in (90, 80))
    assert engine("greedy", late=late, soon=soon).admit(LAUNCH, VIEW) == Held("soon", Wait("Not yet.", 80))
    assert engine("greedy", late=late, soon=soon).admit(LAUNCH, VIEW, ("soon",)).policy == "late"
    never = admitting(lambda launch, view: No("Never."))
    with pytest.raises(EucaError, match="Never"):
        engine("greedy", late=late, soon=soon, never=never).admit(LAUNCH, VIEW)


# --------------------------------------------------------------------------------------------------- loading
def test_the_built_ins_come_through_entry_points() -> None:
    plugins = load(["greedy", "round_robin", "least_full"])
    assert [p.__name__ for p in plugins.values()] == [
        "euca_schedulers.greedy",
        "euca_schedulers.round_robin",
        "euca_schedulers.least_full",
    ]
    assert all(bind(name, plugin).hooks for name, plugin in plugins.items())


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(
        EucaError, match=r"'gredy', which no installed package offers.* Did you mean 'greedy'"
    ) as it:
        load(["gredy"])
    assert it.value.symbol == "config_invalid"


def test_a_plugin_that_cannot_be_imported_harms_no_other(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "bad_policy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-policy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[euca.schedulers]\nbad = bad_policy_module\n")
    (tmp_path / "bad_policy_module.py").write_text("raise OSError('no licence file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load(["greedy", "bad"])
    assert "policy 'bad' cannot be imported from bad_policy_module" in caplog.text
    e = Engine(plugins, cloud_policy="greedy", clock=ManualClock(), isolation=Inline())
    assert place(e, shot(node("z1/a"))).nodes == ("z1/a",)
    assert [(s["policy"], s["state"]) for s in e.status()] == [("bad", "broken"), ("greedy", "ok")]
    with pytest.raises(
        EucaError, match=r"Policy bad cannot answer admit: .*OSError: no licence file"
    ) as refused:
        e.admit(LAUNCH, VIEW)
    assert refused.value.symbol == "policy_failed"


@pytest.mark.parametrize("hook", ["scroe", "score"])
def test_a_plugin_that_does_not_fit_the_specification_is_broken(hook: str) -> None:
    def takes_more(cls: LaunchClass, target: Target, moon: str) -> float:
        return 1.0

    plugin = type("Odd", (), {hook: staticmethod(policy(takes_more))})()
    bound = bind("odd", plugin)
    assert bound.broken.startswith("it does not fit the hook specification")
    assert hook in bound.broken
    assert bind("odd", Broken("gone")).broken == "gone"


# ---------------------------------------------------------------------------------------------------- leases
def gives(word: Any) -> Any:
    class Lessor:
        @policy
        def lease(self, launch: Launch, view: PolicyView) -> Any:
            return word(launch, view) if callable(word) else word

    return Lessor()


def lease(e: Engine, user: str = "u", **view: Any) -> Granted | None:
    launch = Launch("1", user, "m1.small", SMALL, "x86_64", 1, 1)
    return e.lease(launch, PolicyView(now=100, targets={}, **view))


def test_the_lease_that_ends_first_holds() -> None:
    long, short, equal = Lease(900, 800), Lease(500, None, "stop"), Lease(500, 300)
    assert lease(engine("greedy")) is None
    assert lease(engine("greedy", none=gives(None))) is None
    assert lease(engine(a=gives(long), b=gives(short), c=gives(None))) == Granted("b", short)
    assert lease(engine(b=gives(short), a=gives(equal))) == Granted("a", equal)  # as well as any
    by_user = gives(lambda launch, view: Lease(view.now + len(launch.user_id) * view.parameters["each"]))
    assert lease(engine(a=by_user), user="ann", parameters={"each": 7}) == Granted("a", Lease(121))


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (lambda launch, view: 1 / 0, "lease raised ZeroDivisionError: division by zero"),
        (No("no"), r"lease returned No\(.*\), not None or Lease"),
        (3600, "lease returned 3600, not None or Lease"),
        (Lease(100), "lease ends at 100, which is no moment to come"),
        (Lease(10**30), "lease ends at 1000000000000000000000000000000, which is no moment to come"),
        (Lease(1e9), "lease ends at 1000000000.0, which is no moment to come"),
        (Lease(float("nan")), "lease ends at nan, which is no moment to come"),
        (Lease(True), "lease ends at True, which is no moment to come"),
        (Lease(500, 500), "lease warns at 500, which is no moment before its end at 500"),
        (Lease(500, 1.5), "lease warns at 1.5, which is no moment before its end at 500"),
        (Lease(500, None, "sleep"), "lease ends with 'sleep', not 'terminate' or 'stop'"),
    ],
)
def test_a_policy_that_cannot_say_how_long_lets_nothing_run_for_ever(word: Any, why: str) -> None:
    e = engine("greedy", a=gives(Lease(500)), bad=gives(word))
    with pytest.raises(EucaError, match=f"Policy bad cannot answer lease: {why}") as refused:
        lease(e)
    assert refused.value.symbol == "policy_failed"
    for _ in range(4):
        with pytest.raises(EucaError):
            lease(e)
    with pytest.raises(EucaError, match="it is tripped after: lease"):
        lease(e)
    assert [row["failures"] for row in e.status()] == [0, 5, 0]


def test_a_policy_that_was_tripped_elsewhere_refuses_what_it_might_have_limited() -> None:
    class Both:
        @policy
        def lease(self) -> Lease:
            return Lease(500)

        @policy
        def score(self) -> float:
            raise ValueError("no score")

    e = engine(both=Both())
    assert lease(e) == Granted("both", Lease(500))
    place(e, shot(*(node(f"z/{n}") for n in range(5))))
    assert e.status()[0]["state"] == "tripped"
    with pytest.raises(EucaError, match="it is tripped after: score"):
        lease(e)
    with pytest.raises(EucaError, match="cannot answer lease"):
        lease(engine("greedy", gone=Broken("not there")))
