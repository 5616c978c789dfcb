"""What every policy has to be, as tests that any policy can run.

    from euca_rpc.testing.contract import PolicyContract

    class TestContract(PolicyContract):
        policy = my_policy                       # the module, or an object with hooks

Launches, nodes and moments are drawn by Hypothesis, always the same ones.  The core asks `feasible` and `score` only
about nodes on which a machine fits, and so does this.  What it cannot find out is whether a hook reads a file or the
clock and makes nothing of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

try:
    from hypothesis import Phase, given, settings
    from hypothesis import strategies as draw
except ImportError as missing:
    raise ImportError(
        "The contract suite draws its cases with Hypothesis, which is not installed: pip install hypothesis"
    ) from missing

from immutables import Map

from euca_rpc.clock import HOUR, SECOND, ManualClock, Micros
from euca_rpc.errors import EucaError
from euca_rpc.policy.actions import Resume, Start
from euca_rpc.policy.arranging import machines as machines_of
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Calls, Watched
from euca_rpc.policy.loader import Policy, bind
from euca_rpc.policy.ranking import unfit
from euca_rpc.policy.trial import Still
from euca_rpc.policy.values import Launch, LaunchClass, No, PolicyView, Target, Wait, Waiting
from euca_rpc.types import Event, Instance, InstanceLease, Intent, Seen, Size

EXAMPLES = 40  # cases for each test: a second or so for an ordinary policy
WORDS = ("", "7", "east", "no", "µ")  # what users write into hints
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Case:
    launch: Launch
    cls: LaunchClass
    view: PolicyView
    event: Event


Asked = tuple[str, tuple[Any, ...]]  # a hook and its arguments


class PolicyContract:
    policy: Any
    name = "mine"  # as the settings would call it: what its parameters begin with
    parameters: Mapping[str, Any] = {}  # set to something else than usual

    # ------------------------------------------------------------------------------------------------ promises
    def test_it_fits_the_hook_specification(self) -> None:
        policy = self._bound()
        assert not policy.broken, policy.broken
        assert policy.hooks, "it has no hook: mark its functions with @euca_rpc.hookspecs.policy"

    def test_it_answers_whatever_is_asked(self) -> None:
        """Never raises, hangs, or says anything but what the hook allows: a score is a number from 0 to 1."""

        def check(case: Case) -> None:
            engine = Engine(
                {self.name: self.policy}, cloud_policy=self.name, clock=ManualClock(START), trip_after=1
            )
            count = case.launch.max_count
            try:
                with suppress(EucaError):  # a refusal is an answer
                    engine.admit(case.launch, case.view)
                with suppress(EucaError):
                    engine.lease(case.launch, case.view)
                for line in _lines(case):
                    engine.arrange(self.name, line, case.view, {})
                with suppress(EucaError):
                    shot = Still(case.view.targets)
                    engine.place(
                        case.launch, case.cls, shot, case.view, count_min=1, count_max=count, zone_policy={}
                    )
                if "tend" in self._bound().hooks:
                    engine.tend(self.name, case.view)
                if "account" in self._bound().hooks:
                    engine.account(self.name, [case.event])
                (status,) = engine.status()
                assert not status["failures"], status["last_failure"]
            finally:
                engine.close()

        self._for_all(check)

    def test_the_same_question_has_the_same_answer(self) -> None:
        """Whatever was asked in between, and of equal arguments as of the same ones."""

        def check(case: Case) -> None:
            with self._asking() as ask:
                questions = self._questions(case)
                first = [repr(ask(one)) for one in questions]
                again = [repr(ask(copy.deepcopy(one))) for one in reversed(questions)][::-1]
            for question, said, later in zip(questions, first, again, strict=True):
                assert said == later, f"{question[0]} said {said}, and then {later}, of {question[1]}"

        self._for_all(check)

    def test_it_leaves_its_arguments_as_they_are(self) -> None:
        def check(case: Case) -> None:
            with self._asking() as ask:
                for question in self._questions(case):
                    before = copy.deepcopy(question)
                    ask(question)
                    assert question == before, f"{question[0]} changed what it was given: {before[1]}"

        self._for_all(check)

    def test_every_no_has_a_sentence(self) -> None:
        """Users read it: what stands in the way, and when that may change."""

        def check(case: Case) -> None:
            with self._asking() as ask:
                for question in self._questions(case):
                    said = ask(question)
                    if isinstance(said, No | Wait):
                        reason = said.reason
                        assert isinstance(reason, str), f"{question[0]}: {said!r} has no reason"
                        sentence = len(reason.split()) > 1 and reason.endswith((".", "!", "?"))
                        assert sentence, f"{question[0]}: {reason!r} is no sentence"
                    if isinstance(said, No):
                        assert said.kind, f"{question[0]}: {said!r} has no kind"
                    for one in said if question[0] == "tend" and said else ():
                        reason = getattr(one, "reason", "It needs none.")
                        sentence = len(reason.split()) > 1 and reason.endswith((".", "!", "?"))
                        assert sentence or (not reason and isinstance(one, Start | Resume)), (
                            f"tend: {reason!r} of {type(one).__name__} is no sentence"
                        )
                    if isinstance(said, Wait):
                        assert said.until > case.view.now, f"{question[0]}: {said!r} is over already"

        self._for_all(check)

    # ------------------------------------------------------------------------------------------------- asking
    def _bound(self) -> Policy:
        return bind(self.name, self.policy)

    def _for_all(self, check: Callable[[Case], None]) -> None:
        policy = self._bound()
        known = {f"{self.name}.{key}": value for key, value in policy.parameters.items()}

        # not shrunk: with a hook that hangs, or answers as it likes, that would take minutes
        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.generate,)
        )
        @given(cases(policy.hints, {**known, **self.parameters}, self.name))
        def run(case: Case) -> None:
            check(case)

        run()

    def _questions(self, case: Case) -> list[Asked]:
        asked: list[Asked] = [("admit", (case.launch, case.view)), ("lease", (case.launch, case.view))]
        for target in case.view.targets.values():
            if unfit(case.cls, None, target) is None:
                asked += [("feasible", (case.cls, target)), ("score", (case.cls, target))]
        asked += [("account", (case.event,)), ("tend", (case.view,))]
        asked += [("arrange", (machines_of(line), case.view.targets, case.view)) for line in _lines(case)]
        hooks = self._bound().hooks
        return [one for one in asked if one[0] in hooks]

    @contextmanager
    def _asking(self) -> Iterator[Callable[[Asked], Any]]:
        """On the budget of a live cloud, so that a hook that hangs is a failure and not a test without end."""
        watch, hooks = Watched(), self._bound().hooks

        def ask(question: Asked) -> Any:
            hook, arguments = question

            def job(calls: Calls) -> Any:
                return calls.call(self.name, hook, hooks[hook], *arguments)

            return watch.run(job)

        try:
            yield ask
        finally:
            watch.close()


def _lines(case: Case) -> list[list[Launch]]:
    """A new launch, and those that wait."""
    return [[case.launch], *([w.launch] for w in case.view.waiting.values())]


# ---------------------------------------------------------------------------------------------------- drawing
def sizes(cores: int) -> draw.SearchStrategy[Size]:
    return draw.builds(
        Size, draw.integers(1, cores), draw.integers(1, cores * 2048), draw.integers(1, cores * 20)
    )


@draw.composite
def targets(pick: draw.DrawFn, id: str) -> Target:
    offer = pick(sizes(64))
    claimed = Size(*(pick(draw.integers(0, part)) for part in offer.parts()))
    return Target(
        id,
        id.partition("/")[0],
        "x86_64",
        offer,
        claimed,
        usable=True,
        last_used=pick(draw.integers(0, 10**10)),
        machines=pick(draw.integers(0, claimed.cores)),
        attributes=pick(draw.dictionaries(draw.sampled_from(("rack", "gpu")), draw.sampled_from(WORDS))),
        version=pick(draw.integers(1, 9)),
        sleeps=pick(draw.booleans()),
    )


@draw.composite
def resting(pick: draw.DrawFn, target: Target) -> Target:
    """The same node, empty and not in use, since some time."""
    power = pick(draw.sampled_from(("sleeping", "asleep", "waking", "")))
    since = pick(draw.integers(START - 100 * HOUR, START))
    return replace(
        target, claimed=Size(), machines=0, usable=False, why="at rest", power=power, power_since=since
    )


@draw.composite
def machines(pick: draw.DrawFn, id: str, nodes: list[str], now: Micros) -> Instance:
    size, launched = pick(sizes(4)), now - pick(draw.integers(0, 100 * HOUR))
    intent = pick(draw.sampled_from((Intent.RUNNING, Intent.RUNNING, Intent.STOPPED, Intent.TERMINATED)))
    ended = pick(draw.none() | draw.integers(launched, now)) if intent is Intent.TERMINATED else None
    node = pick(draw.sampled_from(nodes))
    return Instance(
        id, "r-00000001", "100000000001", "ann", 0, "emi-00000001", None, None, "x86_64", "m1.small", *size.parts(),
        node.partition("/")[0], node, None, "", b"", "d0:0d", "", "", None, "terminate",
        pick(draw.sampled_from(("regular", "best_effort"))), launched, intent, seen=Seen.RUNNING, seen_generation=1,
        attempted=True, ended_at=ended,
    )  # fmt: skip


@draw.composite
def leases(pick: draw.DrawFn, i: Instance, now: Micros) -> InstanceLease:
    until = now + pick(draw.integers(1, 100 * HOUR))
    return InstanceLease(
        i.id, "other", until, "terminate", until, evicted=pick(draw.sampled_from(("", "It must.")))
    )


@draw.composite
def waits(pick: draw.DrawFn, launch: Launch, now: Micros, name: str) -> Waiting:
    since = now - pick(draw.integers(0, HOUR))
    id, who = "r-0000000f", pick(draw.sampled_from(("", name, "other")))
    own = replace(launch, reservation_id=id)
    return Waiting(id, own, ("i-0000000f",), since, now + HOUR, now + 24 * HOUR, who, "It waits.")


@draw.composite
def cases(
    pick: draw.DrawFn, hints: tuple[str, ...], parameters: Mapping[str, Any], name: str = "mine"
) -> Case:
    size, count = pick(sizes(4)), pick(draw.integers(1, 5))
    ids = [f"{zone}/host-{n}" for zone in ("east", "west") for n in (1, 2)][: pick(draw.integers(1, 4))]
    said = pick(draw.dictionaries(draw.sampled_from((*hints, "unknown")), draw.sampled_from(WORDS)))
    start = pick(draw.none() | draw.integers(START, START + 1000 * HOUR))
    launch = Launch(
        account_id=pick(draw.sampled_from(("100000000001", "100000000002"))),
        user_id=pick(draw.sampled_from(("ann", "bob"))),
        vm_type="m1.small",
        size=size,
        architecture="x86_64",
        min_count=1,
        max_count=count,
        zone=pick(draw.sampled_from((None, "east"))),
        service_class=pick(draw.sampled_from(("regular", "best_effort"))),
        priority=pick(draw.integers(-5, 5)),
        hints=said,
        start=start,
        max_duration=pick(draw.none() | draw.integers(SECOND, 1000 * HOUR)),
        bid=pick(draw.none() | draw.floats(0, 100)),
    )
    seen = tuple(sorted((key, value) for key, value in said.items() if key in hints))
    view = PolicyView(
        now=pick(draw.integers(START, START + 1000 * HOUR)),
        targets={id: pick(targets(id)) for id in ids},
        parameters=dict(parameters),
        seed=pick(draw.integers(0, 2**32)),
    )
    rows = [pick(machines(f"i-0000000{n}", ids, view.now)) for n in range(pick(draw.integers(0, 4)))]
    view = replace(
        view,
        instances=Map({i.id: i for i in rows}),
        leases=Map({i.id: pick(leases(i, view.now)) for i in rows if pick(draw.booleans())}),
        waiting=Map({"r-0000000f": pick(waits(launch, view.now, name))} if pick(draw.booleans()) else {}),
    )
    if pick(draw.booleans()):
        view = replace(view, targets={**view.targets, ids[0]: pick(resting(view.targets[ids[0]]))})
    if pick(draw.booleans()):  # else most nodes are too full to be asked about
        view = replace(
            view, targets={id: replace(t, claimed=Size(), machines=0) for id, t in view.targets.items()}
        )
    cls = LaunchClass("m1.small", size, "x86_64", launch.zone, launch.service_class, seen)
    return Case(launch, cls, view, pick(events()))


# kinds of the cloud's own, with facts as it writes them, and one that is not known yet: kinds are only ever added
KINDS: dict[str, dict[str, Any]] = {
    "instance.launched": {"reservation": "r-00000001", "node": "east/host-1", "type": "m1.small", "cores": 1},
    "instance.seen": {"generation": 1, "seen": "running", "reason": ""},
    "instance.terminate": {},
    "policy.chosen": {"policy": "mine"},
    "comet.passed": {"tail": [1, 2.5, None]},
}


@draw.composite
def events(pick: draw.DrawFn) -> Event:
    kind = pick(draw.sampled_from(sorted(KINDS)))
    facts = pick(draw.sampled_from(({}, KINDS[kind])))
    return Event(
        at=pick(draw.integers(START, START + 1000 * HOUR)),
        actor=pick(draw.sampled_from(("ann", "cloud", "east/host-1"))),
        origin=pick(draw.sampled_from(("ec2", "cli", ""))),
        request_id="req-1",
        kind=kind,
        subject=pick(draw.sampled_from(("i-00000001", "i-00000002"))),
        account_id=pick(draw.sampled_from(("100000000001", ""))),
        facts=facts,
        id=pick(draw.integers(1, 10**6)),
    )
