"""An experiment against an oracle that shares no line with the cloud, and what becomes of refused requests."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from euca_rpc.clock import HOUR, SECOND, Micros
from euca_rpc.cloud import gathering, lifecycle
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.lab import run
from euca_rpc.lab.compare import compare, of_policy, sign_flip
from euca_rpc.lab.figures import figures, jain
from euca_rpc.lab.record import Decision, Record, Stay
from euca_rpc.lab.site import Host, Site, Zone, alike, read, write
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.policy import judging
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, Lease, No, PolicyView, Wait
from euca_rpc.types import Size


def work(seed: int, count: int = 300) -> Workload:
    draw = random.Random(seed)
    at, requests = 0, []
    for n in range(count):
        at += draw.randrange(1, 120) * SECOND
        runs = draw.randrange(60, 4000) * SECOND
        requests.append(Request(f"r{n}", at, Size(draw.choice((1, 2, 4, 8)), 0, 0), runs, user=f"u{n % 3}"))
    return Workload(f"work{seed}", tuple(requests))


def oracle(workload: Workload, nodes: int, cores: int, policy: str) -> list[str]:
    """Each request's node, "" for none: a dozen lines instead of a cloud."""
    free, used, ends = [cores] * nodes, [0] * nodes, list[tuple[Micros, int, int]]()
    found, turn = [], 0
    for request in workload.requests:
        while ends and ends[0][0] <= request.at:
            _, node, size = heapq.heappop(ends)
            free[node] += size
        size = request.size.cores
        fit = [n for n in range(nodes) if free[n] >= size]
        if not fit:
            found.append("")
            continue
        key = {
            "greedy": lambda n: n,
            "round_robin": lambda n: (used[n], n),
            "least_full": lambda n: (-free[n], n),
            "pack": lambda n: (free[n], n),
            "spread": lambda n: (-free[n], n),
        }
        node = min(fit, key=key[policy])
        turn += 1
        used[node], free[node] = turn, free[node] - size
        heapq.heappush(ends, (request.at + request.duration, node, size))
        found.append(f"lab/node-{node:04}")
    return found


@pytest.mark.parametrize("policy", ["greedy", "round_robin", "least_full", "pack", "spread"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_cloud_decides_as_the_policy_is_defined(policy: str, seed: int) -> None:
    workload = work(seed)
    record = run.simulate(workload, run.Plan(alike(4, 8), policy))
    assert [(d.nodes or ("",))[0] for d in record.decisions] == oracle(workload, 4, 8, policy)
    refused = [d for d in record.decisions if d.symbol]
    assert 10 < len(refused) < 200
    assert {d.symbol for d in refused} == {"capacity_exhausted"}
    assert "there is no room" in refused[0].reason
    by_key = {r.key: r for r in workload.requests}
    placed = [d for d in record.decisions if not d.symbol]
    for decision, stay in zip(placed, record.stays, strict=True):
        request = by_key[decision.key]
        assert (stay.launched, stay.node, stay.size) == (request.at, decision.nodes[0], request.size)
        assert stay.running is not None
        assert stay.ended == request.at + request.duration
        assert 0 <= stay.running - stay.launched <= gathering.GATHER
    assert run.simulate(workload, run.Plan(alike(4, 8), policy)).decisions == record.decisions


def _blind(judge: object, targets: Sequence[object], verdicts: object) -> list[int]:
    return list(range(len(targets)))


def _never_frees(i: object) -> Size:
    return i.size  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("place", "name", "planted"),
    [
        (lifecycle, "claim", _never_frees),  # what ended goes on holding its room
        (judging.Judge, "_fitting", _blind),  # nothing is ever too full
    ],
)
def test_a_bug_planted_in_the_cloud_shows(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, planted: object
) -> None:
    workload = work(1)
    right = run.simulate(workload, run.Plan(alike(4, 8), "greedy")).decisions
    monkeypatch.setattr(place, name, planted)
    assert run.simulate(workload, run.Plan(alike(4, 8), "greedy")).decisions != right


def asks(*requests: tuple[float, int, float]) -> Workload:
    """(at, cores, duration) in seconds."""
    made = (
        Request(f"r{n}", int(at * SECOND), Size(cores, 0, 0), int(runs * SECOND))
        for n, (at, cores, runs) in enumerate(requests)
    )
    return Workload("asks", tuple(made))


def fates(workload: Workload, **plan: object) -> dict[str, float | str]:
    made = run.Plan(alike(1, 4), "greedy", **plan)  # type: ignore[arg-type]
    return {d.key: d.symbol or d.at / SECOND for d in run.simulate(workload, made).decisions}


def test_a_refused_request_is_dropped_tried_again_or_waits() -> None:
    workload = asks((0, 4, 100), (10, 4, 50), (20, 1, 500), (30, 5, 10))
    full = "capacity_exhausted"
    assert fates(workload) == {"r0": 0.0, "r1": full, "r2": full, "r3": full}
    again = fates(workload, refused="retry", retry=60 * SECOND, tries=3)
    assert again == {"r0": 0.0, "r1": 130.0, "r2": full, "r3": full}
    waits = fates(workload, refused="wait")  # r1 before r2, though r2 is smaller; r3 can never be
    assert waits == {"r0": 0.0, "r3": full, "r1": 100.0, "r2": 150.0}
    for_ever = asks((0, 4, 1e6), (1, 4, 50))
    assert fates(
        Workload("w", (replace(for_ever.requests[0], duration=None), for_ever.requests[1])), refused="wait"
    ) == {
        "r0": 0.0,
        "r1": "still_waiting",
    }


def test_machines_of_one_request_stay_together_or_none_is_launched() -> None:
    workload = Workload(
        "w", (Request("a", 0, Size(2, 0, 0), None, 3), Request("b", 1, Size(2, 0, 0), None, 2))
    )
    record = run.simulate(workload, run.Plan(alike(2, 4), "greedy"))
    assert record.decisions[0].nodes == ("lab/node-0000", "lab/node-0000", "lab/node-0001")
    assert record.decisions[1].symbol == "capacity_exhausted"
    assert len(record.stays) == 3


def test_machines_of_one_request_may_end_apart() -> None:
    apart = (5 * SECOND, 9 * SECOND, None)
    first = Request("a", 0, Size(1, 0, 0), None, 3, apart=apart)
    record = run.simulate(
        Workload("w", (first, Request("b", 20 * SECOND, Size(1, 0, 0), 0))), run.Plan(alike(1, 3), "greedy")
    )
    assert tuple(stay.ended for stay in record.stays[:3]) == apart


def test_boot_and_end_take_as_long_as_the_site_says() -> None:
    zone = replace(alike(1, 4).zones[0], boot_seconds=30.0, end_seconds=5.0)
    (stay,) = run.simulate(asks((0, 1, 100)), run.Plan(Site((zone,)), "greedy")).stays
    assert stay.running is not None
    assert 30 * SECOND <= stay.running <= 30 * SECOND + gathering.GATHER
    workload = asks((0, 4, 100), (101, 1, 10), (106, 1, 10))  # the room is free when the machine is gone
    found = run.simulate(workload, run.Plan(Site((zone,)), "greedy")).decisions
    assert [d.symbol for d in found] == ["", "capacity_exhausted", ""]


def test_a_machine_that_ends_before_any_node_was_told_of_it_has_ended() -> None:
    workload = asks((0, 1, 0), (0, 1, 0.001), (5, 1, 1))
    stays = run.simulate(workload, run.Plan(alike(1, 4), "greedy")).stays
    assert [(s.launched, s.ended) for s in stays] == [(0, 0), (0, 1000), (5 * SECOND, 6 * SECOND)]


def test_what_a_trace_says_really_happened_is_a_row_like_any_other() -> None:
    workload = asks((0, 2, 100), (0, 2, 100), (0, 2, 100))
    recorded = tuple(
        replace(r, recorded=node)
        for r, node in zip(workload.requests, ("NODE0", "NODE1", "lab/node-0001"), strict=True)
    )
    given = Workload("w", recorded)
    found = compare(given, run.Plan(alike(2, 4), "greedy"), ["recorded", "greedy"], processes=1)
    really, greedy = (r.figures for r in found.runs)
    assert (really.as_recorded, greedy.as_recorded) == (1.0, pytest.approx(2 / 3))
    assert (really.utilisation, greedy.utilisation) == (pytest.approx(6 / 8), pytest.approx(6 / 8))
    with pytest.raises(EucaError, match="w: r1 went to NODE1, which is none of the site's 1 nodes"):
        compare(given, run.Plan(alike(1, 8), "greedy"), ["recorded"], processes=1)


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(EucaError, match="drop, retry or wait, not 'forget'"):
        run.simulate(asks((0, 1, 1)), run.Plan(alike(1, 1), "greedy", "forget"))
    with pytest.raises(EucaError, match="greedi"):
        run.simulate(asks((0, 1, 1)), run.Plan(alike(1, 1), "greedi"))


def test_what_a_lease_ends_makes_room_for_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    class AMinute:
        @policy
        def lease(self, launch: Launch, view: PolicyView) -> Lease:
            return Lease(view.now + 60 * SECOND)

    plugins = {"greedy": load(["greedy"])["greedy"], "minute": AMinute()}
    monkeypatch.setattr(run, "load", lambda names: plugins)
    assert fates(asks((0, 4, 1e6), (1, 4, 10)), refused="wait") == {"r0": 0.0, "r1": 60.0}


def test_who_a_policy_lets_wait_is_in_the_record_when_it_is_placed_or_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nights:
        """The small ones begin at 100 s, the large ones never, and 4 cores at once."""

        @policy
        def admit(self, launch: Launch, view: PolicyView) -> Wait | No | None:
            begin = 1_700_000_010 * SECOND  # when the workload begins
            if launch.size.cores == 4 or view.now >= begin + 100 * SECOND:
                return No("Never.") if launch.size.cores == 3 else None
            return Wait("At night.", begin + 100 * SECOND)

    plugins = {"greedy": load(["greedy"])["greedy"], "nights": Nights()}
    monkeypatch.setattr(run, "load", lambda names: plugins)
    # the first ends at 50 s: then all are asked once more, and again at the moment that they were told
    workload = asks((0, 4, 50), (10, 1, 30), (20, 3, 10), (30, 2, 10), (150, 4, 1))
    assert fates(workload) == {"r0": 0.0, "r1": 100.0, "r2": "policy_refused", "r3": 100.0, "r4": 150.0}
    record = run.simulate(workload, run.Plan(alike(1, 4), "greedy"))
    assert [stay.wait / SECOND for stay in record.stays] == [0, 90, 70, 0]
    (refused,) = (d for d in record.decisions if d.symbol)
    assert refused.reason == "it waited, and was then refused: Never."


def test_each_policy_has_its_own_parameters_and_those_of_the_ones_beside_it() -> None:
    workload = asks((0, 1, 10_000))
    plan = run.Plan(
        alike(1, 4), "greedy", parameters={"lease.hours": 1, "power_save.idle_minutes": 5}, beside=("lease",)
    )
    found = compare(workload, plan, ["greedy", "power_save"], processes=1)
    assert [r.figures.node_hours for r in found.runs] == [pytest.approx(1.0, abs=0.01)] * 2
    assert of_policy(plan, "greedy").parameters == {"lease.hours": 1}
    assert of_policy(plan, "power_save").parameters == plan.parameters


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"beside": ("leese",)}, "'leese', which no installed package offers .* Did you mean 'lease'"),
        ({"parameters": {"lease.hours": 1}}, "'lease.hours' is no parameter of a loaded policy"),
        ({"parameters": {"lease.hour": 1}, "beside": ("lease",)}, "no parameter 'hour'.* mean 'hours'"),
        ({"parameters": {"leese.hours": 1}, "beside": ("lease",)}, "did you mean 'lease'"),
        ({"parameters": {"lease.hours": "x"}, "beside": ("lease",)}, "another kind of value"),
    ],
)
def test_a_plan_is_refused_before_anything_is_run(plan: dict[str, object], said: str) -> None:
    given = run.Plan(alike(1, 1), "greedy", **plan)  # type: ignore[arg-type]
    for policies in (["greedy"], ["recorded", "greedy"]):
        with pytest.raises(EucaError, match=said):
            compare(asks((0, 1, 1)), given, policies, processes=1)
    with pytest.raises(EucaError, match=said):
        run.simulate(asks((0, 1, 1)), given)


def test_a_reservation_that_is_not_met_in_time_is_counted() -> None:
    """Of machines that are to be there 50 s after they were asked for: the second finds no room until 100, the third never."""
    first, *rest = asks((0, 4, 100), (60, 4, 10), (61, 5, 10)).requests
    later = tuple(replace(r, hints=(("start", "+20"),)) for r in rest)
    met = replace(first, hints=(("start", "+50"),))
    plan = run.Plan(alike(1, 4), "greedy", refused="wait")
    found = figures(run.simulate(Workload("w", (met, *later)), plan))
    assert (found.missed, found.evictions) == (2, 0)
    plain = Workload("w", (replace(first, recorded="NODE0"),))
    (really,) = compare(plain, plan, ["recorded"], processes=1).runs
    assert (really.figures.missed, really.figures.evictions) == (None, None)


# -------------------------------------------------------------------------------------------------- the figures
def test_figures_of_a_history_that_can_be_worked_out_by_hand() -> None:
    hosts = (Host("z/a", Size(4, 8, 8), 100, 200), Host("z/b", Size(4, 8, 8), 100, 200))
    hour = 3600 * SECOND
    requests = (
        Request("1", 0, Size(4, 0, 0), 2 * hour, user="ann"),
        Request("2", hour, Size(1, 0, 0), hour, user="bob"),
        Request("3", hour, Size(4, 0, 0), 3 * hour, user="bob"),
    )
    stays = (
        Stay("i-1", "z/a", Size(4, 0, 0), "ann", 0, 0, 2 * hour, 0, 2 * hour),
        Stay("i-2", "z/b", Size(1, 0, 0), "bob", hour, hour + 10 * SECOND, 2 * hour, 0, hour),
    )
    decisions = (Decision("1", 0, ("z/a",)), Decision("2", hour, ("z/b",)), Decision("3", hour, (), "full"))
    found = figures(Record(Workload("w", requests), "p", Site((Zone("z", hosts),)), decisions, stays))
    assert (found.requests, found.launched, found.refused, found.machines) == (3, 2, 1, 2)
    assert found.utilisation == pytest.approx((4 + 5 + 0 + 0) / (8 * 4))
    assert found.peak == pytest.approx(5 / 8)
    assert found.active_nodes == pytest.approx((1 + 2) / 4)
    assert found.node_hours == pytest.approx(3)
    assert found.fragmentation == pytest.approx(3 / (4 + 3 + 8 + 8))  # of b's cores while its one machine ran
    assert (found.wait_mean, found.wait_p95) == (5.0, 10.0)
    assert found.slowdown == pytest.approx((1 + (10 + 3600) / 3600) / 2)
    assert found.energy_kwh == pytest.approx((200 * 4 + 100 * 1 + 100 + 25) / 1000)
    assert found.fairness == pytest.approx(jain([1.0, 1 / 13]))
    assert found.balance == pytest.approx(jain([8.0, 1.0]))


def test_what_a_trace_does_not_record_is_not_made_up() -> None:
    workload = replace(work(1, 20), undefined=frozenset({"users"}))
    assert figures(run.simulate(workload, run.Plan(alike(4, 8), "greedy"))).fairness is None


def test_a_comparison_calls_a_difference_significant_only_when_the_seeds_say_so() -> None:
    few = compare(work(3), run.Plan(alike(4, 8), "greedy"), ["greedy", "least_full"], 2, processes=1)
    assert few.differences == ()
    assert [(r.policy, r.seed) for r in few.runs] == [
        (policy, seed) for seed in range(3) for policy in ("greedy", "least_full")
    ]
    assert sign_flip([1.0] * 6) == pytest.approx(2 / 64)
    assert sign_flip([1.0, -1.0] * 3) == 1.0
    assert sign_flip([1.0] * 40) < 0.001


def test_side_by_side_gives_what_one_after_another_gives() -> None:
    given = (work(4, 60), run.Plan(alike(4, 8), "greedy"), ["greedy", "round_robin"], 1)
    shares: list[float] = []
    side, one = compare(*given, shares.append, processes=2), compare(*given, processes=1)
    assert [(r.policy, r.seed, r.figures, r.decisions, r.load) for r in side.runs] == [
        (r.policy, r.seed, r.figures, r.decisions, r.load) for r in one.runs
    ]
    assert shares == sorted(shares)


# ----------------------------------------------------------------------------------------------------- the site
SITE = """
[[zone]]
name = "north"
boot_seconds = 30
[[zone.nodes]]
count = 2
cores = 24
memory_mb = 65536
busy_watts = 300.0
[[zone.nodes]]
cores = 8
"""


def test_a_site_from_its_file(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    (zone,) = read(path).zones
    assert [(h.id, h.offer.cores, h.busy_watts) for h in zone.hosts] == [
        ("north/node-0000", 24, 300.0),
        ("north/node-0001", 24, 300.0),
        ("north/node-0002", 8, 200.0),
    ]
    assert zone.boot_seconds == 30


def test_a_site_survives_its_own_file(tmp_path):
    path = tmp_path / "site.toml"
    hosts = (Host("z/b", Size(4, 8, 8)), Host("z/a", Size(4, 8, 8)), Host("z/c", Size(2, 8, 8), 50.0, 75.5))
    before = Site((Zone("z", hosts, 1.5), Zone("y", (Host("y/a", Size(1, 1, 1)),))))
    path.write_text(write(before))
    assert read(path) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("count = 2", 'count = 2\nhosts = ["a"]', "count or hosts, not both"),
        ("count = 2", 'hosts = ["A b"]', "hosts is a list of names"),
        ("boot_seconds", "bootseconds", "did you mean 'boot_seconds'"),
        ("cores = 24", "cores = 0", "cores is 0, not a number from 1"),
        ("cores = 24", 'cores = "x"', "cores is 'x', not a number from 1"),
        ('"north"', '"North"', "a zone's name is"),
        ("[[zone]]", "[zone]", r"write \[\[zone\]\]"),
        (SITE, "", "needs zones"),
        (SITE, "[[zone", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_site_is_named(tmp_path, old, new, said):
    path = tmp_path / "site.toml"
    path.write_text(SITE.replace(old, new, 1))
    with pytest.raises(EucaError, match=said):
        read(path)


def test_a_lease_ends_machines_on_simulated_time() -> None:
    """Exactly after its hours, those that would run longer; whose duration is shorter is not touched."""
    durations = (HOUR // 2, 3 * HOUR, 2 * HOUR, 5 * HOUR, 30 * HOUR)
    requests = tuple(
        Request(f"r{n}", n * 60 * SECOND, Size(1, 0, 0), duration) for n, duration in enumerate(durations)
    )
    last = Request("last", 40 * HOUR, Size(1, 0, 0), HOUR)
    plan = run.Plan(alike(2, 8), "lease", parameters={"lease.hours": 2})
    stays = run.simulate(Workload("leased", (*requests, last)), plan).stays
    ends = [stay.ended - stay.launched for stay in stays if stay.ended is not None]
    slack = 5 * SECOND  # until the node has done it and is asked
    assert len(ends) == 6
    for end, wanted in zip(ends, [*(min(d, 2 * HOUR) for d in durations), HOUR], strict=True):
        assert wanted <= end <= wanted + slack
