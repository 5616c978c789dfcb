"""Placement: a snapshot in, a proposal out.

    admit   launch + view ─► every loaded policy may refuse, or hold: then the launch waits
    arrange launches + view ─► the policy in force for the cloud may place them all at once, verified by the core
    lease   launch + view ─► every loaded policy may limit how long; the one that ends first holds
    place   sync (what changed since the last snapshot) ─► per zone: its policy's ranking ─► refresh ─► take ─► Placement
                                                                                                    └► refusal, with why

The core's arithmetic comes first (zone, architecture, usable, room), then the policy's `feasible`, then its `score`.
A named zone is binding.  With none named, the zone whose best target scores highest is preferred (ties: lower id);
all machines go to one zone if one holds them all, else they span as few zones as possible.

The proposal claims nothing: whoever commits it checks room again in its own transaction.  The same snapshot gives
the same proposal, whichever snapshots were looked at before: rankings follow the snapshot in either direction.

All calls of policies are made inside one job of `isolation`.  A policy that is tripped in the middle ends the job,
which is then done again without it: no proposal mixes answers from before and after.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from euca_rpc.clock import Clock, Micros
from euca_rpc.errors import EucaError
from euca_rpc.policy import refusal
from euca_rpc.policy.actions import MOST_ACTIONS, Action, named, objection
from euca_rpc.policy.arranging import Nonsense, machines, verified
from euca_rpc.policy.health import LIMIT, Health
from euca_rpc.policy.isolation import BUDGET, Calls, Hung, Isolation, Raised, Watched, place_of
from euca_rpc.policy.judging import Judge
from euca_rpc.policy.loader import Policy, bind
from euca_rpc.policy.noting import Notes
from euca_rpc.policy.ranking import Ranking, Rankings, unfit
from euca_rpc.policy.said import are_entries, no_lease, no_wait
from euca_rpc.policy.values import (
    Entry,
    Granted,
    Held,
    Launch,
    LaunchClass,
    No,
    Placement,
    PolicyView,
    RuledOut,
    Snapshot,
    Target,
)
from euca_rpc.types import Event

log = logging.getLogger(__name__)

T = TypeVar("T")

OnTrip = Callable[[str, str], None]


class _Tripped(Exception):
    """A policy was tripped in the middle of a job: do the job again without it."""


class Engine:
    def __init__(
        self,
        policies: Mapping[str, Any],
        *,
        cloud_policy: str,
        clock: Clock,
        budget: float = BUDGET,
        trip_after: int = LIMIT,
        on_trip: OnTrip = lambda policy, trouble: None,
        isolation: Isolation | None = None,
    ) -> None:
        self._policies: dict[str, Policy] = {}
        self._health: dict[str, Health] = {}
        self._guests: set[str] = set()  # that were added later
        self._trip_after = trip_after
        self._cloud_policy = cloud_policy
        self._clock = clock
        self._on_trip = on_trip
        self._isolation = isolation or Watched(budget)
        self._lock = threading.Lock()
        self._trips: list[tuple[str, str]] = []  # to be told once the lock is free
        self._notes = Notes()
        self._rankings = Rankings()
        for name, plugin in policies.items():
            self._enrol(bind(name, plugin))

    # ------------------------------------------------------------------------------------------------ loaded
    def add(self, policy: Policy) -> None:
        """Load one more: from the next launch on it is asked as the others are."""
        with self._lock:
            self._enrol(policy)
            self._guests.add(policy.name)

    def keep(self, names: Iterable[str]) -> None:
        """Of those that were added, these alone; what the engine began with stays."""
        with self._lock:
            for name in self._guests - set(names):
                del self._policies[name], self._health[name]
                self._guests.remove(name)
            self._enrol()

    def _enrol(self, *more: Policy) -> None:
        for policy in more:
            self._policies[policy.name] = policy
            self._health[policy.name] = Health(policy.name, policy.broken, self._trip_after)
        self._gatekeepers = [p for p in self._policies.values() if p.broken or "admit" in p.hooks]
        self._carers = [p for p in self._policies.values() if "tend" in p.hooks]
        self._tellers = sorted(p.name for p in self._policies.values() if "account" in p.hooks)
        self._lessors = [p for p in self._policies.values() if p.broken or "lease" in p.hooks]
        self._rankings = Rankings()  # another one may have had the name

    def policy(self, name: str) -> Policy | None:
        """None: it is not loaded."""
        return self._policies.get(name)

    # ------------------------------------------------------------------------------------------------ asked
    def admit(self, launch: Launch, view: PolicyView, passed: Collection[str] = ()) -> Held | None:
        """None: every loaded policy lets the launch pass.  One that says Wait holds it; of several, the one that wants to
        be asked again first.  policy_refused or policy_failed otherwise.  ``passed``: policies that are not asked."""
        if not self._gatekeepers:
            return None
        return self._run(lambda calls: self._admit(calls, launch, view, passed))

    def arranges(self, policy: str) -> bool:
        """Whether ``policy`` places whole batches, and may be asked."""
        bound = self._policies.get(policy)
        return bound is not None and "arrange" in bound.hooks and not self._health[policy].tripped

    def arrange(
        self, policy: str, launches: Sequence[Launch], view: PolicyView, zone_policy: Mapping[str, str]
    ) -> list[tuple[str, ...]] | None:
        """Where ``policy`` puts the machines of each launch, () for none now.  None: it has no opinion, or failed."""
        if not launches or not self.arranges(policy):
            return None
        return self._run(lambda calls: self._arrange(calls, policy, launches, view, zone_policy))

    @property
    def limits(self) -> bool:
        """Whether any policy has a say in how long machines run."""
        return bool(self._lessors)

    def lease(self, launch: Launch, view: PolicyView) -> Granted | None:
        """How long the machines may run: the lease that ends first, None if nobody limits it.  policy_failed if one that
        might have limited it cannot say."""
        if not self._lessors:
            return None
        return self._run(lambda calls: self._lease(calls, launch, view))

    def accounts(self) -> Sequence[str]:
        """The policies that want to be told of events."""
        return self._tellers

    def account(self, policy: str, events: Sequence[Event]) -> list[Sequence[Entry]]:
        """What ``policy`` adds for each event, in order.  The list ends before the first that it has no answer to: that
        one is for asking again."""
        return self._run(lambda calls: self._account(calls, policy, events))

    def tenders(self) -> dict[str, Micros | None]:
        """The policies that tend and may be called, and how often each wants to be asked at least."""
        return {p.name: p.tend_every for p in self._carers if not self._health[p.name].tripped}

    def tend(self, policy: str, view: PolicyView) -> list[Action]:
        """What ``policy`` wants done; without what makes no sense, which is counted."""
        return self._run(lambda calls: self._tend(calls, policy, view))

    def place(
        self,
        launch: Launch,
        cls: LaunchClass,
        snapshot: Snapshot,
        view: PolicyView,
        *,
        count_min: int,
        count_max: int,
        zone_policy: Mapping[str, str],
    ) -> Placement:
        """Between ``count_min`` and ``count_max`` targets, as many as there is room for; capacity_exhausted or
        policy_failed otherwise.  ``zone_policy``: the zones that have a policy of their own."""
        if (launch.min_count, launch.max_count) != (count_min, count_max):
            launch = replace(launch, min_count=count_min, max_count=count_max)
        return self._run(lambda calls: self._place(calls, launch, cls, snapshot, zone_policy))

    @property
    def cloud_policy(self) -> str:
        """In force in zones that `place` is told no other of."""
        return self._cloud_policy

    def status(self) -> list[dict[str, Any]]:
        return [
            self._health[name].status()
            | {"traced": name in self._notes.traced, "hooks": self._notes.of(name)}
            for name in sorted(self._health)
        ]

    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """Of each loaded policy: those that it declares, with their usual values."""
        return {name: policy.parameters for name, policy in self._policies.items()}

    def reset(self, policy: str) -> None:
        """Call a tripped policy again."""
        with self._lock:
            self._known(policy).reset()

    def trace(self, policy: str, on: bool) -> None:
        """Tell in the log what each hook of the policy is asked and says, until the process ends."""
        with self._lock:
            self._known(policy)
            self._notes.traced = self._notes.traced | {policy} if on else self._notes.traced - {policy}

    def _known(self, policy: str) -> Health:
        if policy not in self._health:
            raise EucaError(
                "parameter_invalid",
                f"No policy {policy!r} is loaded; there are {', '.join(sorted(self._health)) or 'none'}.",
            )
        return self._health[policy]

    def close(self) -> None:
        """End the thread that policies run in."""
        self._isolation.close()

    # ------------------------------------------------------------------------------------------------ admit
    def _admit(self, calls: Calls, launch: Launch, view: PolicyView, passed: Collection[str]) -> Held | None:
        held: list[Held] = []
        for policy in self._gatekeepers:
            name = policy.name
            if name in passed:
                continue
            self._must_answer(policy, "admit")
            try:
                said = calls.call(name, "admit", policy.hooks["admit"], launch, view)
            except Raised as failure:
                self._failed(name, "admit", str(failure))
                raise refusal.failed(name, "admit", str(failure)) from failure
            if said is None:
                continue
            if isinstance(said, No):
                raise refusal.refused(name, said.reason, kind=said.kind)
            if no_wait(said):
                trouble = (
                    f"admit returned {said!r:.100}, not None, No or Wait{place_of(policy.hooks['admit'])}"
                )
                self._failed(name, "admit", trouble)
                raise refusal.failed(name, "admit", trouble)
            held.append(Held(name, said))
        return min(held, key=lambda one: (one.wait.until, one.policy), default=None)

    # ---------------------------------------------------------------------------------------------- arrange
    def _arrange(
        self,
        calls: Calls,
        name: str,
        launches: Sequence[Launch],
        view: PolicyView,
        zone_policy: Mapping[str, str],
    ) -> list[tuple[str, ...]] | None:
        if not self.arranges(name):
            return None  # it was tripped a moment ago
        hook = self._policies[name].hooks["arrange"]
        try:
            said = calls.call(name, "arrange", hook, machines(launches), view.targets, view)
            if said is None:
                return None
            allowed = partial(self._allowed, calls, zone_policy)
            return verified(said, launches, view.targets, allowed)
        except Raised as failure:
            self._failed(name, "arrange", str(failure))
        except Nonsense as wrong:
            self._failed(name, "arrange", f"arrange's answer cannot be carried out: {wrong}{place_of(hook)}")
        return None

    def _allowed(self, calls: Calls, zone_policy: Mapping[str, str], cls: LaunchClass, target: Target) -> str:
        """What the policy of the target's zone has against it."""
        policy = self._policies.get(zone_policy.get(target.zone, self._cloud_policy))
        try:
            if policy is None:
                raise self._not_loaded(target.zone, zone_policy)
            self._must_answer(policy, "feasible")
        except EucaError as failure:
            return failure.sentence
        feasible = policy.hooks.get("feasible")
        if feasible is None:
            return ""
        try:
            said = calls.call(policy.name, "feasible", feasible, self._seen(policy, cls), target)
        except Raised as failure:
            self._failed(policy.name, "feasible", str(failure))
            return str(failure)
        return "" if said is None else said.reason if isinstance(said, No) else f"feasible said {said!r:.60}"

    # ------------------------------------------------------------------------------------------------ lease
    def _lease(self, calls: Calls, launch: Launch, view: PolicyView) -> Granted | None:
        given: list[Granted] = []
        for policy in self._lessors:
            name = policy.name
            self._must_answer(policy, "lease")
            try:
                said = calls.call(name, "lease", policy.hooks["lease"], launch, view)
            except Raised as failure:
                self._failed(name, "lease", str(failure))
                raise refusal.failed(name, "lease", str(failure)) from failure
            if said is None:
                continue
            if trouble := no_lease(said, view.now):
                trouble += place_of(policy.hooks["lease"])
                self._failed(name, "lease", trouble)
                raise refusal.failed(name, "lease", trouble)
            given.append(Granted(name, said))
        return min(given, key=lambda one: (one.lease.until, one.policy), default=None)

    # ---------------------------------------------------------------------------------------------- account
    def _account(self, calls: Calls, name: str, events: Sequence[Event]) -> list[Sequence[Entry]]:
        answers: list[Sequence[Entry]] = []
        if name not in self._policies or self._health[name].tripped:
            return answers
        hook = self._policies[name].hooks["account"]
        for event in events:
            try:
                said = calls.call(name, "account", hook, event)
            except Raised as failure:
                self._failed(name, "account", f"{failure} (event {event.id})")
                return answers
            if said is not None and not are_entries(said):
                self._failed(
                    name,
                    "account",
                    f"account returned {said!r:.100} for event {event.id}, not None or entries",
                )
                return answers
            answers.append(said or ())
        return answers

    # ------------------------------------------------------------------------------------------------- tend
    def _tend(self, calls: Calls, name: str, view: PolicyView) -> list[Action]:
        if name not in self.tenders():
            return []
        hook = self._policies[name].hooks["tend"]
        try:
            said = calls.call(name, "tend", hook, view)
        except Raised as failure:
            self._failed(name, "tend", str(failure))
            return []
        if said is None:
            return []
        if not isinstance(said, list | tuple) or len(said) > MOST_ACTIONS:
            trouble = f"tend returned {said!r:.100}, not a list of at most {MOST_ACTIONS} actions"
            self._failed(name, "tend", trouble + place_of(hook))
            return []
        troubles = [(one, objection(one, view)) for one in said]
        wrong = [f"{named(one)}: {trouble}" for one, trouble in troubles if trouble]
        if wrong:
            self._failed(name, "tend", f"tend wants {'; '.join(wrong[:3])}{place_of(hook)}")
        return [one for one, trouble in troubles if not trouble]

    # ------------------------------------------------------------------------------------------------ place
    def _place(
        self,
        calls: Calls,
        launch: Launch,
        cls: LaunchClass,
        snapshot: Snapshot,
        zone_policy: Mapping[str, str],
    ) -> Placement:
        rankings = self._rankings
        rankings.sync(snapshot)
        named = launch.zone or cls.zone
        zones = [named] if named else rankings.zones
        targets = snapshot.targets
        closed: list[tuple[str, EucaError]] = []
        offers: list[tuple[tuple[float, str], Ranking, Judge]] = []
        for zone in zones:
            policy = self._policies.get(zone_policy.get(zone, self._cloud_policy))
            try:
                if policy is None:
                    raise self._not_loaded(zone, zone_policy)
                self._must_answer(policy, "feasible")
            except EucaError as failure:
                closed.append((zone, failure))
                continue
            ranking = rankings.of(policy.name, self._health[policy.name].epoch, self._seen(policy, cls), zone)
            judge = self._judge(calls, policy, ranking, zone)
            ranking.refresh(judge)
            best = ranking.best()
            if best is not None:
                offers.append((best, ranking, judge))
        offers.sort(key=lambda offer: offer[0])
        parts: list[tuple[Ranking, list[str]]] = []
        for best, ranking, judge in offers:
            wanted = launch.max_count
            chosen = [best[1]] if wanted == 1 else ranking.take(wanted, targets, rankings.last_used(), judge)
            if len(chosen) == wanted:
                return Placement(tuple(chosen), ranking.policy)
            parts.append((ranking, chosen))
        parts.sort(key=lambda part: -len(part[1]))  # stable: of equal zones the preferred one first
        nodes = [node for _, chosen in parts for node in chosen]
        if len(nodes) >= launch.min_count:
            used = dict.fromkeys(ranking.policy for ranking, _ in parts)
            return Placement(tuple(nodes[: launch.max_count]), "+".join(used))
        if closed and len(closed) == len(zones):
            raise closed[0][1]
        out = self._ruled_out(cls, named, targets, closed, zone_policy)
        in_force = {zone_policy.get(zone, self._cloud_policy) for zone in zones}
        raise refusal.no_room(launch, cls, named, len(nodes), out, in_force)

    @staticmethod
    def _seen(policy: Policy, cls: LaunchClass) -> LaunchClass:
        """The class with those hints only that the policy declares."""
        return (
            replace(cls, hints=tuple(sorted(h for h in cls.hints if h[0] in policy.hints)))
            if cls.hints
            else cls
        )

    def _judge(self, calls: Calls, policy: Policy, ranking: Ranking, zone: str) -> Judge:
        rated = not self._health[policy.name].tripped  # (feasible: see _must_answer)
        return Judge(calls, policy, ranking, zone, rated, self._failed)

    def _ruled_out(
        self,
        cls: LaunchClass,
        named: str | None,
        targets: Mapping[str, Target],
        closed: Iterable[tuple[str, EucaError]],
        zone_policy: Mapping[str, str],
    ) -> Iterable[RuledOut]:
        """Everything that holds no machine more, from what the rankings already know: no policy is called."""
        shut = {zone: failure.sentence for zone, failure in closed}
        for target in targets.values():
            name = zone_policy.get(target.zone, self._cloud_policy)
            kind: str | No | None = unfit(cls, named, target)
            if kind is None:
                if target.zone in shut:
                    yield RuledOut(target.id, "policy_failed", shut[target.zone])
                    continue
                policy = self._policies[name]
                known = self._rankings.of(
                    name, self._health[name].epoch, self._seen(policy, cls), target.zone
                )
                kind = known.out(target.id)
            if kind is not None:
                yield refusal.ruled_out(cls, named, target, kind, name)

    # ------------------------------------------------------------------------------------------- misbehaviour
    def _run(self, job: Callable[[Calls], T]) -> T:
        try:
            with self._lock:
                while True:  # ends: each turn but the last trips a policy
                    try:
                        return self._isolation.run(lambda calls: job(self._notes.on(calls)))
                    except Hung as hang:
                        self._rankings = Rankings()  # the job left behind keeps those it was working on
                        self._count(hang.policy, hang.hook, str(hang), hung=True)
                    except _Tripped:
                        pass
        finally:
            if self._trips:
                self._tell_trips()

    def _tell_trips(self) -> None:
        with self._lock:
            trips, self._trips = self._trips, []
        for policy, trouble in trips:
            try:
                self._on_trip(policy, trouble)
            except Exception:  # whoever is told must not spoil the launch that found out
                log.exception("telling that policy %s is tripped failed", policy)

    def _failed(self, policy: str, hook: str, trouble: str) -> None:
        if self._count(policy, hook, trouble):
            raise _Tripped

    def _count(self, policy: str, hook: str, trouble: str, *, hung: bool = False) -> bool:
        self._notes.failed(policy, hook)
        health = self._health[policy]
        tripped = health.failed(trouble, self._clock.now(), hung=hung)
        log.warning("policy %s: %s (failure %d)", policy, trouble, health.failures)
        if tripped:
            log.error("policy %s is tripped and not called any more until it is reset: %s", policy, trouble)
            self._trips.append((policy, trouble))
        return tripped

    def _must_answer(self, policy: Policy, hook: str) -> None:
        """Fail closed: a policy that could have refused and cannot be called refuses."""
        health = self._health[policy.name]
        if policy.broken or (health.tripped and hook in policy.hooks):
            raise refusal.failed(policy.name, hook, policy.broken or f"it is tripped after: {health.last}")

    def _not_loaded(self, zone: str, zone_policy: Mapping[str, str]) -> EucaError:
        name = zone_policy.get(zone, self._cloud_policy)
        there = ", ".join(sorted(self._policies)) or "none"
        return refusal.failed(
            name, "feasible", f"it is in force in zone {zone} but not loaded; there are {there}"
        )
