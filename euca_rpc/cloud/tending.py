"""Tending: policies are asked what they want done, and it is done by verbs.

    something changed that they see, or their moment has come
        ─► hook asked, outside any transaction ─► actions held against what was shown (`policy.actions`)
        ─► one transaction: each action a verb on the view as it is now; what no longer fits is left ─► events

`decide` is pure: whether a policy is to be asked now, and when to come again.  What policies see is compared by identity:
maps of the view that did not change are the same objects.  Without a policy that tends nothing here is ever looked at.

What it costs a user is told at once, in the same transaction: an eviction is a lease (`cloud.leases`) that ends when the
notice is over, with a mail and a reason; it is durable, ends on time across restarts, and the first notice stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from euca_rpc.clock import SECOND, Micros, iso, moment
from euca_rpc.cloud import lifecycle, power, published, waiting
from euca_rpc.cloud.changes import Change, Outcome, Put, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.leases import Letter
from euca_rpc.cloud.placement import shown
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed
from euca_rpc.policy.actions import (
    Action,
    Admit,
    Again,
    Drain,
    Evict,
    Hold,
    Publish,
    Resume,
    Sleep,
    Start,
    Stop,
    Suspend,
    Undrain,
    Wake,
    Warn,
    named,
)
from euca_rpc.policy.values import PolicyView
from euca_rpc.types import Caller, Instance, InstanceLease, Intent, UserStatus

log = logging.getLogger("euca.tending")

GAP: Micros = SECOND  # between two questions to one policy

WARNED = "Server.PolicyWarning"  # reason of a machine that runs
NOTICE = "Server.SpotInstanceTerminationNotice"  # reason of one that is to be evicted
SUSPENDED = "Server.SuspendedByPolicy"
STOPPED = "Server.StoppedByPolicy"
WARNING, EVICTION = "policy_warning", "eviction_notice"  # kinds of mail


# ---------------------------------------------------------------------------------------------------- when
@dataclass(frozen=True, slots=True)
class Look:
    """The last time that a policy was asked."""

    at: Micros
    seen: tuple[object, ...]  # what it was shown, see `facts`
    again: Micros | None = None  # when it wanted to be asked again


def facts(view: View) -> tuple[object, ...]:
    """What may make a policy want something else: parts of the view, to be compared by identity."""
    return view.targets, view.settings, view.counters, view.waiting, view.leases


def decide(view: View, now: Micros, look: Look | None, every: Micros | None) -> tuple[bool, Micros | None]:
    """Whether a policy is to be asked now; and if not, when it will be, as things are.  ``every``: at least so often."""
    if look is None:
        return True, None
    wanted = [at for at in (look.again, None if every is None else look.at + every) if at is not None]
    if any(new is not old for new, old in zip(facts(view), look.seen, strict=True)):
        wanted.append(look.at)
    if not wanted:
        return False, None
    due = max(min(wanted), look.at + GAP)
    return (True, None) if due <= now else (False, due)


# ------------------------------------------------------------------------------------------------- who asks
class Tends(Protocol):
    """The engine, as far as it tends (`policy.engine.Engine`)."""

    def tenders(self) -> Mapping[str, Micros | None]: ...

    def tend(self, policy: str, view: PolicyView) -> Sequence[Action]: ...


class NoTends:
    """Where no policy is asked."""

    def tenders(self) -> Mapping[str, Micros | None]:
        return {}

    def tend(self, policy: str, view: PolicyView) -> Sequence[Action]:
        return ()


class Tender:
    """Run with the controller's steps."""

    def __init__(
        self,
        tends: Tends,
        journal: Journal,
        letter: Letter,
        posted: Callable[[], None],
        start: Callable[[Caller, Sequence[str]], object],
    ) -> None:
        """``start``: stopped machines, as their owner's request would; ``posted``: mails were queued."""
        self._tends, self._journal, self._letter, self._posted = tends, journal, letter, posted
        self._start = start
        self._looks: dict[str, Look] = {}

    def step(self, now: Micros) -> Micros | None:
        """Ask whose turn it is.  The answer: when to come again."""
        due: list[Micros] = []
        for policy, every in self._tends.tenders().items():  # others may have come meanwhile
            asked, at = decide(self._journal.view, now, self._looks.get(policy), every)
            if asked:
                self._ask(policy, now)
                at = decide(self._journal.view, now, self._looks[policy], every)[1]
            if at is not None:
                due.append(at)
        return min(due, default=None)

    def due(self, view: View, now: Micros) -> Micros | None:
        """When a step is wanted because of what is in ``view``; None: nothing is new to anybody."""
        found: list[Micros] = []
        for policy, every in self._tends.tenders().items():
            asked, at = decide(view, now, self._looks.get(policy), every)
            found += [now] if asked else [] if at is None else [at]
        return min(found, default=None)

    def _ask(self, policy: str, now: Micros) -> None:
        view = self._journal.view
        actions = self._tends.tend(policy, shown(view, now))
        again = min((one.at for one in actions if isinstance(one, Again)), default=None)
        self._looks[policy] = Look(now, facts(view), again if again is not None and again > now else None)
        wanted = [one for one in actions if not isinstance(one, Again | Start | Resume)]
        if wanted:
            left, mails = self._journal.do(lambda v, n: carry_out(v, n, policy, wanted, self._letter))
            for what in left:
                log.info("policy %s: %s", policy, what)
            if mails:
                self._posted()
        for one in actions:
            if isinstance(one, Start | Resume):
                self._run_again(policy, one)

    def _run_again(self, policy: str, action: Start | Resume) -> None:
        """Not in the others' transaction: policies are asked how long it may run, and it needs room."""
        row = self._journal.view.instances.get(action.instance)
        if row is None or row.intent is not Intent.STOPPED:
            return
        if isinstance(action, Resume) and row.reason_code != SUSPENDED:
            return
        by = Caller(who(policy), who(policy), row.account_id, True, "policy")
        try:
            self._start(by, [row.id])
        except EucaError as refusal:
            log.info("policy %s: %s: %s", policy, named(action), refusal.sentence)


def who(policy: str) -> str:
    """The actor of what a policy does."""
    return f"policy/{policy}"


# ---------------------------------------------------------------------------------------------- what is done
def carry_out(view: View, now: Micros, policy: str, actions: Sequence[Action], letter: Letter) -> Outcome:
    """All in one transaction, each on what the ones before it made.  The result: sentences about those that were left,
    and whether mails were written."""
    changes: list[Change] = []
    events: list[Any] = []
    left: list[str] = []
    mails = False
    draft = view
    for action in actions:
        try:
            done = _verb(policy, action, letter)(draft, now)
        except EucaError as refusal:
            left.append(f"{named(action)} was left: {refusal.sentence}")
            continue
        draft = draft.apply(done.changes)
        changes += done.changes
        events += done.events
        mails |= isinstance(action, Warn | Evict) and bool(done.changes)
    return Outcome(tuple(changes), tuple(events), (left, mails))


def _verb(policy: str, action: Action, letter: Letter) -> Callable[[View, Micros], Outcome]:
    by = who(policy)
    match action:
        case Warn():
            return lambda v, n: warn(v, n, policy, action, letter)
        case Evict():
            return lambda v, n: evict(v, n, policy, action, letter)
        case Suspend() | Stop():
            return lambda v, n: stop(v, n, policy, action)
        case Admit() | Hold():
            return lambda v, n: hold(v, n, policy, action)
        case Drain() | Undrain():
            return lambda v, n: drain(v, n, policy, action)
        case Sleep():
            return power.sleep(by, action.node, action.reason)
        case Wake():
            return power.wake(by, action.node, action.reason)
        case Publish():
            return published.publish(by, f"{policy}.{action.key}", action.value)
    raise EucaError("internal", f"{named(action)} has no verb")


def warn(view: View, now: Micros, policy: str, action: Warn, letter: Letter) -> Outcome:
    """Once for each reason: it stands at the machine as long as that runs on."""
    i = _machine(view, action.instance)
    reason = f"{action.reason} (policy {policy})"
    if i.reason == reason:
        return Outcome()
    if lifecycle.state(i) != lifecycle.RUNNING:
        raise EucaError("state_conflict", f"{i.id} is {lifecycle.state(i)}, and only one that runs is warned")
    told = event("instance.warned", i.id, now, who(policy), i.account_id, {"reason": action.reason})
    mail = _mail(view, now, WARNING, i, letter, policy=policy, reason=action.reason)
    return Outcome((Put(_with_reason(i, WARNED, reason)), *mail), (told,))


def evict(view: View, now: Micros, policy: str, action: Evict, letter: Letter) -> Outcome:
    """A lease that ends when the notice is over.  One that ends before that stays, and so does an earlier notice."""
    i = _machine(view, action.instance)
    if i.intent is not Intent.RUNNING:
        raise EucaError("state_conflict", f"{i.id} is {lifecycle.state(i)}: there is nothing to evict")
    if not i.node:
        raise EucaError("state_conflict", f"{i.id} waits and holds nothing")
    old, until = view.leases.get(i.id), now + action.notice
    if old is not None and (old.evicted or (old.until <= until and old.then == "terminate")):
        return Outcome()
    lease = InstanceLease(
        i.id, policy, until, "terminate", until, action.notice, True, action.reason, noticed=now
    )
    reason = f"to be evicted at {moment(until)}, told at {moment(now)} (policy {policy}): {action.reason}"
    changes: list[Change] = [Put(lease)]
    if lifecycle.state(i) == lifecycle.RUNNING:
        changes.append(Put(_with_reason(i, NOTICE, reason)))
    changes += _mail(view, now, EVICTION, i, letter, policy=policy, reason=action.reason, until=moment(until))
    facts_ = {"until": iso(until), "reason": action.reason}
    return Outcome(
        tuple(changes), (event("instance.eviction", i.id, now, who(policy), i.account_id, facts_),)
    )


def stop(view: View, now: Micros, policy: str, action: Suspend | Stop) -> Outcome:
    i = _machine(view, action.instance)
    if i.intent is Intent.STOPPED:
        return Outcome()
    if lifecycle.state(i) != lifecycle.RUNNING:  # one that is pending may have no disk yet that it could keep
        raise EucaError("state_conflict", f"{i.id} is {lifecycle.state(i)} and cannot be stopped")
    code = SUSPENDED if isinstance(action, Suspend) else STOPPED
    new = lifecycle.want_stopped(i, now, code, f"{action.reason} (policy {policy})")
    facts_ = {"state": lifecycle.state(new), "code": code, "reason": action.reason}
    return Outcome((Put(new),), (event("instance.stop", i.id, now, who(policy), i.account_id, facts_),))


def hold(view: View, now: Micros, policy: str, action: Admit | Hold) -> Outcome:
    if isinstance(action, Admit):
        row = view.waiting_rows.get(action.reservation)
        if row is not None and row.passed == policy:
            return Outcome()
        done = waiting.let_go(view, now, action.reservation, policy)
    else:
        done = waiting.hold(view, now, action.reservation, policy, action.reason, action.until)
    if not done.result:
        raise EucaError("state_conflict", f"{action.reservation} does not wait any more")
    return done


def drain(view: View, now: Micros, policy: str, action: Drain | Undrain) -> Outcome:
    node = view.nodes.get(action.node)
    if node is None or not node.asked:
        raise EucaError("node_not_found", f"the node {action.node} is not there any more")
    if isinstance(action, Drain):
        if node.admin_state == "drained":
            return Outcome()
        if node.admin_state != "active":
            raise EucaError("state_conflict", f"{node.id} is {node.admin_state}")
        new = replace(node, admin_state="drained", drained_by=policy, why=action.reason)
        told = event("node.drained", node.id, now, who(policy), facts={"reason": action.reason})
    else:
        if node.admin_state == "active":
            return Outcome()
        if not node.drained_by:
            raise EucaError(
                "denied",
                f"{node.id} was {node.admin_state} by an administrator: that is not a policy's to undo",
            )
        new = replace(node, admin_state="active", drained_by="", why="")
        told = event("node.active", node.id, now, who(policy))
    return Outcome((Put(new),), (told,))


def _machine(view: View, id: str) -> Instance:
    row = view.instances.get(id)
    if row is None or row.intent is Intent.TERMINATED:
        raise EucaError("instance_not_found", f"{id} is at its end meanwhile")
    return row


def _with_reason(i: Instance, code: str, reason: str) -> Instance:
    return changed(i, reason_code=code, reason=reason, version=i.version + 1)


def _mail(
    view: View, now: Micros, kind: str, i: Instance, letter: Letter, **words: str
) -> tuple[Change, ...]:
    user = view.users.get(i.created_by)
    if user is None or user.status is UserStatus.DELETED:
        return ()
    return letter(view, now, kind, user, {"instance": i.id, "type": i.vm_type, "zone": i.zone, **words})
