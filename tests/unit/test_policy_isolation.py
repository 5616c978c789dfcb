"""A policy that raises, hangs or returns nonsense costs a bounded moment and nothing else."""

from __future__ import annotations

import inspect
import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import HOUR, ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline, Isolation, Raised, Watched
from euca_rpc.policy.values import Launch, LaunchClass, Placement, PolicyView, Target
from euca_rpc.types import Size

SIZE = Size(1, 512, 4)
LAUNCH = Launch("1", "u", "m1.small", SIZE, "x86_64", 1, 1)
CLASS = LaunchClass("m1.small", SIZE, "x86_64")
BUDGET = 0.15
ISOLATIONS = [Inline, lambda: Watched(BUDGET)]


class Shot:
    def __init__(self, number: int, *ids: str) -> None:
        self.number = number
        self.targets = {
            id: Target(id, id.split("/")[0], "x86_64", Size(9, 9999, 99), Size(), True, version=number)
            for id in ids
        }

    def targets_changed(self, since: int) -> None:
        return None


def failing(hook: str, behave: Callable[[], Any]) -> Any:
    """A policy whose ``hook`` behaves so, given none of the arguments it does not name."""

    @policy
    def admit() -> Any:
        return behave()

    @policy
    def feasible() -> Any:
        return behave()

    @policy
    def score() -> Any:
        return behave()

    given = {"admit": admit, "feasible": feasible, "score": score}[hook]
    return type("Failing", (), {hook: staticmethod(given)})()


def engine(
    plugin: Any, isolation: Isolation, **more: Any
) -> tuple[Engine, list[tuple[str, str]], ManualClock]:
    trips: list[tuple[str, str]] = []
    clock = ManualClock()
    e = Engine(
        {"bad": plugin},
        cloud_policy="bad",
        clock=clock,
        isolation=isolation,
        on_trip=lambda name, why: trips.append((name, why)),
        **more,
    )
    return e, trips, clock


def place(e: Engine, number: int = 1, count: int = 1) -> Placement:
    shot = Shot(number, "z1/b", "z1/a")
    return e.place(
        LAUNCH, CLASS, shot, PolicyView(0, shot.targets), count_min=count, count_max=count, zone_policy={}
    )


def raises() -> Any:
    raise KeyError("rack")


def exits() -> Any:
    raise SystemExit(3)


NONSENSE = [math.nan, math.inf, -0.1, 1.5, True, "0.5", [0.5], 2]


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("behave", [raises, exits, *(lambda v=v: v for v in NONSENSE)])
def test_a_failing_score_is_ignored_and_tripped(behave: Any, isolation: Any, caplog: Any) -> None:
    e, trips, _ = engine(failing("score", behave), isolation())
    for number in range(1, 5):
        assert place(e, number).nodes == ("z1/a",), "as greedy"
    (status,) = e.status()
    assert (status["state"], status["failures"]) == ("tripped", 5), "it is not called once tripped"
    assert [name for name, _ in trips] == ["bad"], "told once"
    assert "policy bad: score r" in caplog.text


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("behave", [raises, exits, lambda: "no", lambda: False, lambda: 0])
def test_a_failing_feasible_fails_closed(behave: Any, isolation: Any) -> None:
    e, trips, _ = engine(failing("feasible", behave), isolation())
    for number in range(1, 5):
        with pytest.raises(EucaError) as refused:
            place(e, number)
        assert refused.value.symbol == "policy_failed"
        assert "olicy bad" in refused.value.sentence
    assert e.status()[0]["state"] == "tripped"
    assert len(trips) == 1


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("behave", [raises, exits, lambda: "no", lambda: False])
def test_a_failing_admit_fails_closed(behave: Any, isolation: Any) -> None:
    e, trips, _ = engine(failing("admit", behave), isolation())
    for _ in range(7):
        with pytest.raises(EucaError, match="Policy bad cannot answer admit: ") as refused:
            e.admit(LAUNCH, PolicyView(0, {}))
        assert refused.value.symbol == "policy_failed"
    assert e.status()[0]["failures"] == 5
    assert len(trips) == 1
    assert place(e).nodes == ("z1/a",), "it has no say in placing"


def test_a_target_whose_feasible_failed_once_is_asked_again() -> None:
    answers = iter([None, KeyError("once"), None])

    def behave() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    e, _, _ = engine(failing("feasible", behave), Inline())
    shot = Shot(1, "z1/a", "z1/b")

    def both() -> Placement:
        return e.place(LAUNCH, CLASS, shot, PolicyView(0, {}), count_min=1, count_max=1, zone_policy={})

    assert len(both().nodes) == 1, "the other one is taken meanwhile"
    both()
    assert next(answers, "asked") == "asked"


def test_rare_failures_do_not_trip() -> None:
    e, trips, clock = engine(failing("admit", raises), Inline())
    for _ in range(20):
        with pytest.raises(EucaError):
            e.admit(LAUNCH, PolicyView(0, {}))
        clock.advance(HOUR)
    assert trips == []
    assert e.status()[0]["failures"] == 20


def test_a_tripped_policy_is_called_again_after_a_reset() -> None:
    well = False
    e, _, _ = engine(failing("score", lambda: 0.5 if well else raises()), Inline(), trip_after=2)
    place(e)
    assert e.status()[0]["since"] == "2023-11-14T22:13:20.000Z"
    well = True
    e.reset("bad")
    place(e, 2)
    assert e.status()[0]["state"] == "ok"
    with pytest.raises(EucaError, match="No policy 'worse' is loaded; there are bad"):
        e.reset("worse")


def test_one_who_is_told_of_a_trip_and_raises_does_not_spoil_the_launch(caplog: Any) -> None:
    def told(name: str, why: str) -> None:
        raise OSError("mail server")

    e = Engine(
        {"bad": failing("score", raises)},
        cloud_policy="bad",
        clock=ManualClock(),
        isolation=Inline(),
        trip_after=1,
        on_trip=told,
    )
    assert place(e).nodes == ("z1/a",)
    assert "telling that policy bad is tripped failed" in caplog.text


# ------------------------------------------------------------------------------------------------- hanging
@pytest.mark.parametrize("hook", ["admit", "feasible", "score"])
def test_a_hanging_policy_is_left_behind_and_tripped_at_once(hook: str) -> None:
    release = threading.Event()
    e, trips, _ = engine(failing(hook, lambda: release.wait(30)), Watched(BUDGET))
    try:
        began = time.monotonic()
        if hook == "score":
            assert place(e).nodes == ("z1/a",)
        else:
            with pytest.raises(
                EucaError, match=f"Policy bad cannot answer {hook}: it is tripped after: {hook} did"
            ) as it:
                place(e) if hook == "feasible" else e.admit(LAUNCH, PolicyView(0, {}))
            assert it.value.symbol == "policy_failed"
        assert time.monotonic() - began < 5
        ((name, why),) = trips
        assert name == "bad"
        line = inspect.getsourcelines(test_a_hanging_policy_is_left_behind_and_tripped_at_once)[1] + 3
        assert why == f"{hook} did not return within 0.15 s (unit/test_policy_isolation.py:{line})"
        began = time.monotonic()
        if hook == "score":
            assert place(e, 2).nodes == ("z1/a",)
        assert time.monotonic() - began < BUDGET, "the next one does not wait for it"
    finally:
        release.set()


def test_a_busy_loop_is_left_behind_and_ends() -> None:
    spinning: list[threading.Thread] = []

    def spin() -> Any:
        spinning.append(threading.current_thread())
        while True:
            with suppress(ValueError):
                pass

    e, trips, _ = engine(failing("score", spin), Watched(BUDGET))
    assert place(e).nodes == ("z1/a",)
    assert len(trips) == 1
    spinning[0].join(10)
    assert not spinning[0].is_alive(), "it would take half of the interpreter's time for ever"


def test_a_job_left_behind_is_not_continued() -> None:
    watched = Watched(BUDGET)
    release = threading.Event()
    went_on = threading.Event()
    others = set(threading.enumerate())

    def job(calls: Any) -> None:
        calls.call("bad", "score", release.wait, 30)
        went_on.set()

    with pytest.raises(Exception, match="score did not return"):
        watched.run(job)
    (left_behind,) = {t for t in threading.enumerate() if t.name == "policies"} - others
    release.set()
    left_behind.join(5)
    assert not left_behind.is_alive(), "the thread ends when its hook returns"
    assert not went_on.is_set()


def test_many_short_calls_are_not_one_long_one() -> None:
    watched = Watched(BUDGET)

    def job(calls: Any) -> str:
        for _ in range(8):
            calls.call("good", "score", time.sleep, BUDGET / 3)
        return "done"

    assert watched.run(job) == "done"
    watched.close()


def test_each_call_of_a_round_has_the_whole_budget() -> None:
    watched = Watched(BUDGET)

    def job(calls: Any) -> list[Any]:
        said: list[Any] = calls.each("good", "score", lambda a, b: time.sleep(a) or b, BUDGET / 3, range(8))
        return said

    assert watched.run(job) == list(range(8))
    watched.close()


def test_one_call_of_a_round_that_hangs_is_found_among_many() -> None:
    watched = Watched(BUDGET)
    release = threading.Event()

    def job(calls: Any) -> None:
        calls.each("bad", "score", lambda a, b: b < 900 or release.wait(30), None, range(1000))

    with pytest.raises(
        Exception, match=r"score did not return within 0.15 s \(unit/test_policy_isolation.py:"
    ):
        watched.run(job)
    release.set()


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_round_ends_at_the_first_that_raises(isolation: Any) -> None:
    asked: list[int] = []

    def hook(first: Any, second: int) -> float:
        asked.append(second)
        return 1 / (2 - second)

    said = isolation().run(lambda calls: calls.each("bad", "score", hook, None, range(5)))
    assert said[:2] == [0.5, 1.0]
    assert type(said[2]) is Raised
    assert "ZeroDivisionError" in str(said[2])
    assert (len(said), asked) == (3, [0, 1, 2])


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_of_many_targets_no_more_are_asked_than_trip_it(isolation: Any) -> None:
    calls: list[int] = []
    e, _, _ = engine(failing("score", lambda: calls.append(1) or raises()), isolation())
    shot = Shot(1, *(f"z1/{n:03}" for n in range(200)))
    view = PolicyView(0, shot.targets)
    placed = e.place(LAUNCH, CLASS, shot, view, count_min=1, count_max=1, zone_policy={})
    assert placed.nodes == ("z1/000",)
    assert len(calls) == 5


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_target_that_raises_spoils_no_other(isolation: Any) -> None:
    @policy
    def feasible(target: Target) -> None:
        if target.id == "z1/a":
            raise KeyError("rack")

    @policy
    def score(target: Target) -> float:
        return {"z1/a": 1.0, "z1/b": 0.4, "z1/d": 0.7, "z1/e": 0.6}[target.id]  # c is neutral: 0.5

    plugin = type("Mixed", (), {"feasible": staticmethod(feasible), "score": staticmethod(score)})()
    e, _, _ = engine(plugin, isolation())
    shot = Shot(1, *(f"z1/{host}" for host in "abcde"))
    large = LaunchClass("m1.large", Size(9, 1, 1), "x86_64")
    view = PolicyView(0, shot.targets)
    placed = e.place(LAUNCH, large, shot, view, count_min=4, count_max=5, zone_policy={})
    assert placed.nodes == ("z1/d", "z1/e", "z1/c", "z1/b")
    hooks = e.status()[0]["hooks"]
    assert (hooks["feasible"]["calls"], hooks["feasible"]["failures"]) == (5, 1)
    assert (hooks["score"]["calls"], hooks["score"]["failures"]) == (4, 1)


def test_a_score_that_does_not_look_at_the_class_is_asked_once_for_a_change() -> None:
    asked: list[str] = []

    @policy
    def score(target: Target) -> float:
        asked.append(target.id)
        return 0.5 + target.version / 100

    plugin = type("Classless", (), {"score": staticmethod(score)})()
    e, _, _ = engine(plugin, Inline())
    shot = Shot(1, "z1/a", "z1/b")
    for kind in ("m1.small", "m1.large", "c1.medium"):
        cls = LaunchClass(kind, SIZE, "x86_64")
        e.place(LAUNCH, cls, shot, PolicyView(0, {}), count_min=1, count_max=1, zone_policy={})
    assert sorted(asked) == ["z1/a", "z1/b"]
    later = Shot(2, "z1/a", "z1/b")
    e.place(LAUNCH, CLASS, later, PolicyView(0, {}), count_min=1, count_max=1, zone_policy={})
    assert len(asked) == 4


def test_a_long_job_of_the_engine_itself_is_not_the_policys_fault() -> None:
    watched = Watched(BUDGET)

    def job(calls: Any) -> str:
        time.sleep(3 * BUDGET)
        return "done"

    assert watched.run(job) == "done"
    watched.close()


def test_what_a_job_raises_reaches_the_caller() -> None:
    watched = Watched(BUDGET)

    def job(calls: Any) -> None:
        with pytest.raises(Raised, match="score raised ZeroDivisionError"):
            calls.call("bad", "score", lambda: 1 // 0)
        raise EucaError("denied", "as it was")

    with pytest.raises(EucaError, match="as it was"):
        watched.run(job)
    watched.close()


def test_jobs_of_many_threads_run_one_after_another() -> None:
    watched = Watched(BUDGET)
    inside: list[int] = []
    most: list[int] = []

    def job(calls: Any) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.001)
        inside.pop()

    threads = [threading.Thread(target=watched.run, args=(job,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 16
    watched.close()


# -------------------------------------------------------------------------------- where, how often, how long
POLICY = """\
from euca_rpc.hookspecs import policy

def rack_of(target):
    return target.attributes["rack"]

@policy
def feasible(target):
    if rack_of(target) == "7":
        return None

@policy
def score(target):
    return "high"
"""


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("hook", "trouble"),
    [
        ("feasible", "feasible raised KeyError: 'rack' (site_policies/by_rack.py:4)"),
        ("score", "score returned 'high', not a number from 0 to 1 (site_policies/by_rack.py:11)"),
    ],
)
def test_trouble_names_the_policys_own_line(
    hook: str, trouble: str, isolation: Any, tmp_path: Path, caplog: Any
) -> None:
    file = tmp_path / "site_policies" / "by_rack.py"
    namespace: dict[str, Any] = {}
    exec(compile(POLICY, str(file), "exec"), namespace)
    plugin = type("Mine", (), {hook: staticmethod(namespace[hook])})()
    e, _, _ = engine(plugin, isolation(), trip_after=1)
    with suppress(EucaError):
        place(e)
    assert e.status()[0]["last_failure"] == trouble
    assert f"policy bad: {trouble}" in caplog.text
    assert str(tmp_path) not in e.status()[0]["last_failure"], "users see it too"


def test_a_failure_in_somebody_elses_code_names_the_line_that_called_it() -> None:
    e, _, _ = engine(failing("score", lambda: json.loads("{")), Inline(), trip_after=1)
    place(e)
    line = inspect.getsourcelines(test_a_failure_in_somebody_elses_code_names_the_line_that_called_it)[1] + 1
    assert e.status()[0]["last_failure"].endswith(f"(unit/test_policy_isolation.py:{line})")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_calls_failures_and_time_are_counted_by_hook(isolation: Any) -> None:
    e, _, _ = engine(failing("score", lambda: time.sleep(0.01) or raises()), isolation(), trip_after=3)
    assert e.status()[0]["hooks"] == {}
    place(e)
    (score,) = e.status()[0]["hooks"].values()
    assert (score["calls"], score["failures"]) == (2, 2)
    assert 0.02 <= score["seconds"] < 2


def test_a_hang_is_a_failure_of_its_hook() -> None:
    release = threading.Event()
    e, _, _ = engine(failing("score", lambda: release.wait(30)), Watched(BUDGET))
    place(e)
    release.set()
    assert e.status()[0]["hooks"] == {"score": {"calls": 0, "failures": 1, "seconds": 0.0}}


def test_a_traced_policy_is_heard_word_by_word(caplog: Any) -> None:
    caplog.set_level("INFO")
    e, _, _ = engine(failing("score", lambda: 0.25), Watched(BUDGET))
    place(e)
    assert "0.25" not in caplog.text
    e.trace("bad", True)
    place(e, 2)
    assert caplog.text.count("policy bad: score said 0.25, asked (LaunchClass(vm_type='m1.small'") == 1
    assert e.status()[0]["traced"] is True
    e.trace("bad", False)
    caplog.clear()
    place(e, 3)
    assert caplog.text == ""
    with pytest.raises(EucaError, match="No policy 'worse' is loaded; there are bad"):
        e.trace("worse", True)
