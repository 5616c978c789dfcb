"""Nodes, as an administrator handles them: add, token, drain, undrain, remove, fence.

add      a row in a zone that is there, and a one-time token; the node makes its own key (`wire.enrol`)
token    another one for a node that is known; those before it are good for nothing
         one that was removed or fenced and comes back is `returning`: it is told `absent` about what it still has, and
         takes no machine until it has said that nothing is left
drain    takes no new machines; those that run go on
remove   refused while machines are there; the certificate is revoked
fence    the administrator states that the host is off: certificate revoked, its instances terminated with that
         reason, its claims released, in one transaction.  If it comes back it is only told `absent`, and the disks
         are set aside, not deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from euca_rpc.clock import Micros
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.changes import Change, Forget, Outcome, Put, event
from euca_rpc.cloud.reports import usage_row
from euca_rpc.cloud.view import View
from euca_rpc.cloud.zones import find_zone
from euca_rpc.errors import EucaError
from euca_rpc.ids import is_name, node_id
from euca_rpc.types import Caller, Event, Node

FENCED = "Server.NodeFenced"


class Trust(Protocol):
    """The certificate authority, as the cloud controller needs it (`wire.pki`, `wire.enrol`)."""

    def token(self, role: str, zone: str, host: str) -> str:
        """A one-time token that lets a node of this name enrol."""
        ...

    def revoke(self, role: str, zone: str, host: str) -> None:
        """Every certificate of this name, durably."""
        ...

    def revoked(self) -> list[str]:
        """Serial numbers, decimal."""
        ...

    def renew(self, role: str, zone: str, host: str, request_pem: str) -> str:
        """A fresh certificate for the same name."""
        ...


def find_node(view: View, name: str) -> Node:
    """By "zone/host", or by host alone where only one has that name."""
    if name in view.nodes:
        return view.nodes[name]
    same = [n for n in view.nodes.values() if n.host == name and n.admin_state != "removed"]
    if len(same) == 1:
        return same[0]
    known = ", ".join(sorted(n.id for n in view.nodes.values() if n.admin_state != "removed")) or "none"
    many = (
        f"{len(same)} nodes are called {name!r}: say zone/host"
        if same
        else f"the node {name!r} does not exist"
    )
    raise EucaError("node_not_found", f"{many}; there are {known}")


def add(by: Caller | str, zone: str, host: str) -> Callable[[View, Micros], Outcome]:
    """A new node, or one that was removed or fenced coming back: what it still has is ended before it is in use."""

    def verb(view: View, now: Micros) -> Outcome:
        for name in (zone, host):
            if not is_name(name):
                raise EucaError(
                    "parameter_invalid", f"{name!r}: zone and host names are a-z, 0-9 and -, at most 64 long"
                )
        key = node_id(zone, host)
        old = view.nodes.get(key)
        if old is not None and old.asked:
            raise EucaError(
                "name_duplicate",
                f"the node {key} is known already; if it has yet to enrol: euca node token {key}",
            )
        find_zone(view, zone)
        changes: list[Change] = []
        if old is None:
            node = Node(key, zone, host, added_at=now)
        else:
            node = replace(old, admin_state="returning", added_at=now, power="on", drained_by="")
            if key in view.contacts:  # what was heard before counts no more
                changes.append(Forget(view.contacts[key]))
        return Outcome((Put(node), *changes), (event("node.added", key, now, by),), node)

    return verb


def may_enrol(by: Caller, name: str) -> Callable[[View, Micros], Outcome]:
    """A known node gets a new token: it never enrolled, or lost its key."""

    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        if not node.asked:
            raise EucaError(
                "state_conflict",
                f"{node.id} was {node.admin_state}, so it may not enrol: add it again first (`euca node add {node.id}`)",
            )
        return Outcome((), (event("node.token", node.id, now, by),), node)

    return verb


def set_state(by: Caller, name: str, state: str) -> Callable[[View, Micros], Outcome]:
    """Drain and undrain."""

    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        if node.admin_state == "returning":
            raise EucaError(
                "state_conflict",
                f"{node.id} was added again and takes no machines until it has said that nothing of before is left "
                "there: try again when it is active (euca nodes)",
            )
        if not node.asked:
            raise EucaError("state_conflict", f"{node.id} was {node.admin_state}: add it again first")
        return Outcome(
            (Put(replace(node, admin_state=state, drained_by="")),),
            (event(f"node.{state}", node.id, now, by),),
            node.id,
        )

    return verb


def remove(by: Caller, name: str) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        held = sorted(view.on_node.get(node.id, ()))
        if held:
            raise EucaError(
                "state_conflict",
                f"{node.id} still has {len(held)} instances ({', '.join(held[:5])}{' …' if len(held) > 5 else ''}): drain "
                "it, terminate them, then remove it; if the host is gone for good, fence it",
            )
        return Outcome(
            (Put(replace(node, admin_state="removed")),), (event("node.removed", node.id, now, by),), node
        )

    return verb


def fence(by: Caller, name: str) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        changes: list[Change] = [Put(replace(node, admin_state="fenced"))]
        events: list[Event] = [event("node.fenced", node.id, now, by)]
        for instance_id in sorted(view.on_node.get(node.id, ())):
            row = view.instances[instance_id]
            reason = f"{node.id} was fenced by {by.user_name}: its host is off"
            ended = replace(
                lifecycle.want_terminated(row, now, FENCED, reason),
                ended_at=now,
                deadline=None,
                reason_code=FENCED,
                reason=reason,
            )
            changes.append(Put(ended))
            if lifecycle.charged(row):
                changes.append(Put(replace(usage_row(row, row.running_since or now), ended=now)))
            events.append(event("instance.fenced", row.id, now, by, row.account_id, {"node": node.id}))
        return Outcome(tuple(changes), tuple(events), node)

    return verb
