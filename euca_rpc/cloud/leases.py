"""Leases: how long an instance may run, by the word of a policy.

    launch, start ─► policies asked ─► row, in the transaction of the launch ─► warn: once, by mail ─► until: it ends
                                        ▲ extend

A lease is of one run.  It is written with the launch, and stays when the machine is started again after its host was
lost.  Who stops a machine gives its room back: its lease is laid down, nothing is done to it however long it lies
stopped, and starting it asks the policies anew, as a launch does.

The end is a wish like anybody's (`lifecycle.want_terminated`, `want_stopped`) with a reason of its own; what has to be
asked of the node follows from it.  Termination protection is against slips of users and does not hold a lease.  A
machine that is to be stopped and has not come up yet may have no disk that it could keep: it is stopped when it runs.

`decide` is pure and run with the reconciler's: the view keeps leases by the hour of their next moment, so what is
looked at are those of this hour, not all.  A clock that jumped warns nobody and ends nothing (`controller`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from euca_rpc.clock import HOUR, Micros, iso, moment
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.changes import Change, Outcome, Put, Remove, event
from euca_rpc.cloud.policies import PARAMETER
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.said import LATEST
from euca_rpc.policy.values import Granted
from euca_rpc.types import Caller, Event, Instance, InstanceLease, Intent, User, UserStatus

ENDED = "Server.LeaseEnded"
EVICTED = "Server.SpotInstanceTermination"  # as EC2 calls it
WARNING = "lease_warning"  # the kind of mail

Letter = Callable[[View, Micros, str, User, Mapping[str, str]], tuple[Change, ...]]


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell their users that the end comes near."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """Their time is up."""

    ids: tuple[str, ...]


def granted(instance_id: str, word: Granted) -> InstanceLease:
    """The row of what a policy gave."""
    given = word.lease
    ahead = None if given.warn is None else given.until - given.warn
    return InstanceLease(instance_id, word.policy, given.until, given.then, given.until, ahead)


def renewed(view: View, instance_id: str, word: Granted | None) -> Change | None:
    """In the place of what was of the run before."""
    if word is not None:
        return Put(granted(instance_id, word))
    old = view.leases.get(instance_id)
    return None if old is None else Remove(old)


def of(view: View, i: Instance) -> InstanceLease | None:
    """The one that holds: of a machine that is wanted to run."""
    return view.leases.get(i.id) if i.intent is Intent.RUNNING else None


# ------------------------------------------------------------------------------------------------ the decision
def decide(view: View, now: Micros) -> tuple[list[Warn | End], Micros | None]:
    """All that is due now, and the next moment at which something will be, or is to be looked at."""
    if not view.lease_hours:
        return [], None
    warn: list[str] = []
    end: list[str] = []
    due: list[Micros] = []
    for hour, ids in view.lease_hours.items():
        if hour * HOUR > now:
            due.append(hour * HOUR)
            continue
        for id in ids:
            lease = view.leases[id]
            if lease.due > now:
                due.append(lease.due)
            elif lease.until > now:
                warn.append(id)
                due.append(lease.until)
            elif not _too_early(view.instances.get(id), lease):
                end.append(id)  # (else the report that it runs brings us here again)
    actions: list[Warn | End] = []
    if warn:
        actions.append(Warn(tuple(sorted(warn))))
    if end:
        actions.append(End(tuple(sorted(end))))
    return actions, min(due, default=None)


def _too_early(i: Instance | None, lease: InstanceLease) -> bool:
    return i is not None and lease.then == "stop" and lifecycle.state(i) == lifecycle.PENDING


# ----------------------------------------------------------------------------------------------------- verbs
def warn(view: View, now: Micros, ids: Iterable[str], letter: Letter) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for lease, i in _due(view, now, ids):
        if i is None:
            changes.append(Remove(lease))
            continue
        changes.append(Put(replace(lease, warned=True)))
        user = view.users.get(i.created_by)
        if user is not None and user.status is not UserStatus.DELETED:
            words = {"instance": i.id, "type": i.vm_type, "zone": i.zone, "policy": lease.policy}
            words |= {"until": moment(lease.until), "then": _SAID[lease.then]}
            changes += letter(view, now, WARNING, user, words)
        facts = {"until": iso(lease.until), "then": lease.then, "policy": lease.policy}
        events.append(event("lease.warned", i.id, now, "cloud", i.account_id, facts))
    return Outcome(tuple(changes), tuple(events))


_SAID = {"terminate": "terminated; its disk goes with it", "stop": "stopped; its disk stays"}


def end(view: View, now: Micros, ids: Iterable[str]) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for lease, i in _due(view, now, ids):
        if i is None:
            changes.append(Remove(lease))
            continue
        if lease.until > now or _too_early(i, lease):
            continue
        code, reason = ENDED, f"its lease ended at {moment(lease.until)} (policy {lease.policy})"
        if lease.evicted:
            code = EVICTED
            reason = f"evicted at {moment(lease.until)}, as told at {moment(lease.noticed or 0)} (policy {lease.policy}):"
            reason += f" {lease.evicted}"
        want = lifecycle.want_stopped if lease.then == "stop" else lifecycle.want_terminated
        new = want(i, now, code, reason)
        changes += [Put(new), Remove(lease)]
        facts = {"state": lifecycle.state(new), "code": code, "reason": reason}
        events.append(event(f"instance.{lease.then}", i.id, now, "cloud", i.account_id, facts))
    return Outcome(tuple(changes), tuple(events))


def _due(view: View, now: Micros, ids: Iterable[str]) -> Iterable[tuple[InstanceLease, Instance | None]]:
    """What is still due; None for an instance that is not wanted to run any more: its lease is laid down."""
    for id in ids:
        lease = view.leases.get(id)
        if lease is None or lease.due > now:
            continue
        i = view.instances.get(id)
        yield lease, i if i is not None and i.intent is Intent.RUNNING else None


def extend(view: View, now: Micros, by: Caller, i: Instance, until: Micros) -> Outcome:
    """An administrator to any moment to come; a user as far beyond what the policy gave as its parameter
    ``extension_hours`` says, however often it is asked for.  The warning is given again, as long before the new end."""
    lease = of(view, i)
    if lease is None:
        raise EucaError(
            "state_conflict", f"{i.id} has no lease that could be extended: nothing limits its run"
        )
    if not now < until <= LATEST:
        raise EucaError(
            "parameter_invalid",
            f"the lease of {i.id} can only be extended to a moment to come, not to {until}",
        )
    hours = extension_hours(view, lease.policy)
    latest = lease.granted + int(hours * HOUR)
    if until > latest and not by.is_admin:
        raise EucaError(
            "denied",
            f"the lease of {i.id} can be extended until {moment(latest)} ({hours:g} hours more than policy {lease.policy} "
            f"gave), not until {moment(until)}: ask an administrator",
            facts={"latest": latest, "asked": until},
        )
    new = replace(lease, until=until, warned=lease.ahead is not None and until - lease.ahead <= now)
    facts = {"from": iso(lease.until), "until": iso(until)}
    told = event("lease.extended", i.id, now, by, i.account_id, facts)
    return Outcome((Put(new),), (told,), new)


def extension_hours(view: View, policy: str) -> float:
    """How far users may extend what this policy gives: its parameter of that name."""
    row = view.settings.get(f"{PARAMETER}{policy}.extension_hours")
    hours = json.loads(row.value) if row is not None else 0
    return max(0.0, float(hours)) if isinstance(hours, int | float) else 0.0
