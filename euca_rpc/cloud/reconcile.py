"""Reconcilers: what has to be asked of whom, so that what was seen becomes what is wanted.

    decide(view, now) → (actions, next_due)

Pure, with no input but the view: run it twice and it says the same, run it after a crash and it goes on where the disk
says.  It is run when poked or when `next_due` has come; there is no tick.  There are no retries inside: an action is
written into the view before it is carried out (`mark`), with the moment at which it may be repeated, and whether it
worked is learnt from the next report, never from the call's answer.

Kept in mind by everyone who changes this file:
* silence is not an answer: nothing is asked of an unreachable node, and nothing concluded from its silence;
* only what is unsettled is looked at, so the cost follows the number of changes, not of machines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from immutables import Map

from euca_rpc.clock import MINUTE, SECOND, Micros
from euca_rpc.cloud import gathering, lifecycle
from euca_rpc.cloud.changes import Change, Forget, Outcome, Put, Remove, event
from euca_rpc.cloud.view import View, rest, silence
from euca_rpc.frozen import changed
from euca_rpc.types import Event, Instance, Intent, Seen

BACKOFF: tuple[Micros, ...] = tuple(s * SECOND for s in (5, 10, 20, 40, 60))


# ----------------------------------------------------------------------------------------------- the actions
@dataclass(frozen=True, slots=True)
class Tell:
    """One call to one node about some of its instances: ensure, absent, stop or reboot."""

    method: str
    node: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """A deadline passed."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """Never attempted, and its node cannot be used: place it again as a new generation."""

    id: str


@dataclass(frozen=True, slots=True)
class Prune:
    """Ended long enough ago: leave the view; tokens that nobody may repeat any more go for good."""

    ids: tuple[str, ...]


Action = Tell | Overdue | Move | Prune


# ---------------------------------------------------------------------------------------------- the decision
def decide(view: View, now: Micros) -> tuple[list[Action], Micros | None]:
    """All that is due now, and the next moment at which something will be."""
    actions: list[Action] = []
    due = _unsettled(view, now, actions) if view.unsettled else None
    old = [i for ids in _over(view.ended, now - lifecycle.VISIBLE_AFTER_END) for i in ids]
    if old:
        actions.append(Prune(tuple(sorted(old))))
    return actions, due


def _unsettled(view: View, now: Micros, actions: list[Action]) -> Micros | None:
    due: list[Micros] = []
    tell: dict[tuple[str, str], list[str]] = defaultdict(list)
    late: list[str] = []
    launched: list[Instance] = []
    for instance_id in sorted(view.unsettled):  # in one order, whatever the process: a seed is one story
        row = view.instances[instance_id]
        if row.deadline is not None and row.deadline <= now:
            late.append(row.id)
            continue
        if row.deadline is not None:
            due.append(row.deadline)
        method = _missing(row)
        if method is None:
            continue
        first = method == "ensure" and lifecycle.launched(row)
        if not reachable(view, row.node):
            if first:
                actions.append(Move(row.id))
            continue  # a report that says otherwise wakes us
        if first:
            launched.append(row)
        elif row.next_try <= now:
            tell[method, row.node].append(row.id)
        else:
            due.append(row.next_try)
    together = gathering.together(launched) if launched else now
    for row in launched:
        at = max(row.next_try, together)
        if at <= now:
            tell["ensure", row.node].append(row.id)
        else:
            due.append(at)
    actions.extend(Tell(method, node, tuple(sorted(ids))) for (method, node), ids in sorted(tell.items()))
    if late:
        actions.append(Overdue(tuple(sorted(late))))
    return min(due, default=None)


def _missing(i: Instance) -> str | None:
    """The call that this row is waiting to have made; None: it waits for the node to go on."""
    current = i.seen_generation == i.generation
    if i.intent is Intent.TERMINATED:
        return "absent"
    if i.intent is Intent.STOPPED:
        return "stop"
    if current and i.seen is Seen.RUNNING:
        return "reboot" if i.seen_reboots < i.reboots else None
    if current and i.seen is Seen.PREPARING:
        return None
    return "ensure"


def reachable(view: View, node_id: str) -> bool:
    """What waits for a node has none that could be silent."""
    if not node_id:
        return True
    node = view.nodes.get(node_id)
    if node is None or not node.asked:
        return False
    return not silence(view.contacts.get(node.zone)) and not silence(view.contacts.get(node_id))


def why_unreachable(view: View, node_id: str) -> str:
    node = view.nodes.get(node_id)
    if node is None:
        return "which is not known"
    if not node.asked:
        return f"which was {node.admin_state} by an administrator"
    if node.power != "on":
        return f"which is {rest(node)}"
    said = silence(view.contacts.get(node.zone))
    if said:
        return f"whose cluster controller is {said}"
    said = silence(view.contacts.get(node_id))
    return f"which is {said}" if said else "which answers"


# ------------------------------------------------------------------------------ written before it is carried out
def mark_told(view: View, action: Tell, now: Micros) -> Outcome:
    """Count the attempt before the call.  Rows that changed their mind meanwhile are left out; the result is what is
    still to be told."""
    rows = [view.instances[i] for i in action.ids if i in view.instances]
    rows = [r for r in rows if r.ended_at is None and r.node == action.node and _missing(r) == action.method]
    marked = [
        changed(
            r,
            attempts=r.attempts + 1,
            attempted=r.attempted or action.method == "ensure",
            next_try=now + BACKOFF[min(r.attempts, len(BACKOFF) - 1)],
        )
        for r in rows
    ]
    return Outcome(tuple(map(Put, marked)), result=tuple(marked))


def mark_overdue(view: View, now: Micros, action: Overdue) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for row in (view.instances[i] for i in action.ids if i in view.instances):
        if row.deadline is None or row.deadline > now or lifecycle.settled(row):
            continue
        new = lifecycle.overdue(row, now, reachable(view, row.node), why_unreachable(view, row.node))
        changes.append(Put(new))
        events.append(event("instance.overdue", row.id, now, "cloud", row.account_id, {"reason": new.reason}))
    return Outcome(tuple(changes), tuple(events))


def mark_moved(view: View, instance_id: str, node_id: str, now: Micros) -> Outcome:
    """Placed again on ``node_id``.  Nothing of it was ever sent anywhere, so the new generation is the first one."""
    row = view.instances.get(instance_id)
    target = view.targets.get(node_id)
    if row is None or row.attempted or row.ended_at is not None or row.intent is not Intent.RUNNING:
        return Outcome()
    if target is None or not target.usable or not row.size.fits(target.room):
        return Outcome()
    zone = node_id.partition("/")[0]
    new = changed(row, node=node_id, zone=zone, next_try=now, version=row.version + 1)
    told = event("instance.moved", row.id, now, "cloud", row.account_id, {"from": row.node, "to": node_id})
    return Outcome((Put(new),), (told,))


def prune(view: View, now: Micros, ids: Iterable[str]) -> Outcome:
    changes: list[Change] = []
    for row in (view.instances[i] for i in ids if i in view.instances):
        changes.append(Forget(row))
        if (lease := view.leases.get(row.id)) is not None:
            changes.append(Remove(lease))
        changes += [Remove(view.tag_rows[f"{row.id}/{key}"]) for key, _ in view.tags.get(row.id, ())]
        reservation = view.reservations.get(row.reservation_id)
        rest = {i for i in reservation.instance_ids if i in view.instances} if reservation else set()
        rest -= {c.row.id for c in changes if isinstance(c, Forget)}
        if reservation is not None and not rest:
            changes.append(Forget(reservation))
            key = f"{row.account_id}/{row.client_token}"
            token = view.tokens.get(key) if row.client_token else None
            if token is not None:
                changes.append(Put(replace(token, expires_at=now + lifecycle.TOKEN_AFTER_END)))
    changes += [Remove(view.tokens[key]) for keys in _over(view.stale_tokens, now) for key in keys]
    return Outcome(tuple(changes))


def _over(minutes: Map[int, Map[str, None]], now: Micros) -> Iterable[Iterable[str]]:
    """What lies in minutes that were over at ``now``."""
    return [ids for minute, ids in minutes.items() if (minute + 1) * MINUTE <= now]
