"""Why is it so: the state of an instance, or the refusal of a launch, told from the view and the events.

Every sentence names moments, never ages, so that it stays true when it is read later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euca_rpc.clock import moment
from euca_rpc.cloud import leases, lifecycle
from euca_rpc.cloud.reconcile import reachable, why_unreachable
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.types import Event, Instance


def explain(view: View, store: Store, subject: str) -> dict[str, Any]:
    """``subject``: an instance, a reservation or a node, a request id, or "last" for the newest refused launch."""
    low = subject.lower()
    row = view.instances.get(low) or (store.one(Instance, low) if low.startswith("i-") else None)
    if row is not None:
        return {**instance(view, row), "history": [line(e) for e in reversed(store.events(row.id, limit=50))]}
    if (reservation := view.reservations.get(low)) is not None:
        members = (view.instances[i] for i in reservation.instance_ids if i in view.instances)
        return {"subject": reservation.id, "instances": [instance(view, i) for i in members]}
    events = (
        store.events(kind="launch.refused", limit=1) if subject == "last" else store.events(subject, limit=50)
    )
    if not events:
        raise EucaError(
            "instance_not_found",
            f"nothing is known of {subject!r}: give the id of an instance or reservation, a node, the request id of a "
            'refused launch, or "last" for the newest refusal',
        )
    if events[0].kind == "launch.refused":
        return line(events[0])
    return {"subject": events[0].subject or subject, "history": [line(e) for e in reversed(events)]}


def instance(view: View, i: Instance) -> dict[str, Any]:
    told: dict[str, Any] = {
        "subject": i.id,
        "state": lifecycle.state(i),
        "intent": str(i.intent),
        "generation": i.generation,
        "seen": str(i.seen),
        "seen_generation": i.seen_generation,
        "node": i.node,
        "reachable": reachable(view, i.node),
        "why": why(view, i),
    }
    if i.deadline is not None:
        told["deadline"] = moment(i.deadline)
    if (lease := leases.of(view, i)) is not None:
        told["lease"] = {"until": moment(lease.until), "then": lease.then, "policy": lease.policy}
        if lease.evicted:
            told["lease"] |= {"evicted": lease.evicted, "told": moment(lease.noticed or 0)}
        elif lease.ahead is not None:
            told["lease"]["warned" if lease.warned else "warns"] = moment(lease.until - lease.ahead)
    if i.reason:
        told |= {"reason_code": i.reason_code, "reason": i.reason}
    if (row := view.waiting_rows.get(i.reservation_id)) is not None and lifecycle.waits(i):
        held = {"policy": row.policy or "nobody: there is no room", "says": row.reason}
        held |= {"since": moment(row.since), "asked_again": moment(row.again), "until": moment(row.until)}
        told["waits"] = held | ({"ahead": view.line.index((row.since, row.id))})
    return told


def why(view: View, i: Instance) -> str:
    """One sentence: what is wanted, what was seen, what it is waiting for."""
    state = lifecycle.state(i)
    if i.ended_at is not None:
        return f"{state} since {moment(i.ended_at)}" + (f": {i.reason}" if i.reason else "")
    if lifecycle.waits(i):
        return f"{state}, on no node yet: {i.reason}"
    where = f"on {i.node}"
    if not reachable(view, i.node):
        return f"{state}; it is {where}, {why_unreachable(view, i.node)}; what was last seen stands until it answers"
    if lifecycle.settled(i):
        return f"{state} {where}, as wanted"
    seen = (
        f"{i.node} last said {i.seen} (generation {i.seen_generation})"
        if i.seen_generation
        else f"{i.node} has not mentioned it yet"
    )
    detail = f": {i.seen_detail}" if i.seen_detail else ""
    tries = f"; asked {i.attempts} times" if i.attempts else ""
    return f"{state}: {i.intent} is wanted (generation {i.generation}), {seen}{detail}{tries}"


def in_order(facts: Mapping[str, Any]) -> dict[str, Any]:
    """As they are shown: by name, in every process."""
    return dict(sorted(facts.items()))


def line(e: Event) -> dict[str, Any]:
    return {
        "at": moment(e.at),
        "kind": e.kind,
        "subject": e.subject,
        "actor": e.actor,
        "origin": e.origin,
        "request_id": e.request_id,
        **in_order(e.facts),
    }
