"""Nodes and policies, for administrators who look at pages: the same verbs as the command line's (`admin`), typed."""

from __future__ import annotations

import json
from collections.abc import Callable

from euca_rpc.cloud import nodes, policies, power, published
from euca_rpc.cloud.accounts import check_administrator
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.nodes import Trust
from euca_rpc.cloud.policies import Policies
from euca_rpc.cloud.view import View, rest, silence
from euca_rpc.shown import NodeStatus, PolicyStatus, Published, Reach
from euca_rpc.types import Caller, Contact, Node


class Nodes:
    """`nouns.Nodes`."""

    def __init__(self, journal: Journal, trust: Trust, policies: Policies, wake: Callable[[], None]) -> None:
        self._journal, self._trust, self._policies, self._wake = journal, trust, policies, wake

    def describe(self, caller: Caller) -> list[NodeStatus]:
        check_administrator(caller)
        view = self._journal.view
        listed = (n for n in view.nodes.values() if n.admin_state != "removed")
        return [_status(view, n) for n in sorted(listed, key=lambda n: n.id)]

    def drain(self, caller: Caller, id: str, drained: bool = True) -> None:
        check_administrator(caller)
        self._journal.do(nodes.set_state(caller, id, "drained" if drained else "active"))

    def fence(self, caller: Caller, id: str) -> None:
        check_administrator(caller)
        fence(self._journal, self._trust, caller, id)
        self._wake()

    def sleep(self, caller: Caller, id: str, asleep: bool = True) -> None:
        check_administrator(caller)
        wish = (power.sleep if asleep else power.wake)(caller, id, "an administrator wished it")
        self._journal.do(wish)
        self._wake()

    def published(self, caller: Caller) -> list[Published]:
        check_administrator(caller)
        rows = published.rows(self._journal.view)
        return [Published(row["name"], json.dumps(row["value"], ensure_ascii=False)) for row in rows]

    def policies(self, caller: Caller) -> list[PolicyStatus]:
        check_administrator(caller)
        rows = policies.rows(self._journal.view, self._policies)
        return [
            PolicyStatus(
                r["name"], r["cloud"], tuple(r["zones"]), r["state"], r["failures"], r["last_failure"]
            )
            for r in rows
        ]


def fence(journal: Journal, trust: Trust, caller: Caller, name: str) -> Node:
    """Revoked first: a fence that was interrupted is a node that may say nothing, and is fenced by asking again."""
    node = nodes.find_node(journal.view, name)
    trust.revoke("node", node.zone, node.host)
    journal.do(nodes.fence(caller, node.id))
    return node


def _status(view: View, n: Node) -> NodeStatus:
    contact = view.contacts.get(n.id) or Contact(n.id)
    trouble = silence(view.contacts.get(n.zone)) or silence(view.contacts.get(n.id))
    if n.admin_state == "fenced":
        trouble = "fenced by an administrator: it is asked nothing, until it is added again"
    elif n.power != "on":
        trouble = rest(n)
    target = view.targets[n.id]
    return NodeStatus(
        n,
        Reach(not trouble, contact.silent_since, trouble),
        contact.heard_at,
        () if trouble else contact.warnings,
        target.room,
        len(view.on_node.get(n.id, ())),
        "" if n.admin_state == "fenced" or power.overdue(n) else rest(n),
    )
