"""What a cluster controller's report does to the view: pure, `(view, answer, now) → Outcome`.

A report counts only for instances that are assigned to the reporting node at that generation; a node can lie about its
own machines and about nothing else.  It is complete: a machine that a node had accepted and no longer mentions was
forgotten by the node, which is not the same as ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from euca_rpc.clock import SECOND, Micros
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.changes import Change, Outcome, Put, Soft, event
from euca_rpc.cloud.view import View
from euca_rpc.frozen import changed
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.types import Contact, Event, Instance, Intent, Node, Seen, Usage

# what a node's row has from its reports
_OF_ITSELF = ("cores", "memory_mb", "disk_gb", "architecture", "hypervisor", "boot_id", "sleeps", "mac")
_of_itself = attrgetter(*_OF_ITSELF)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def take(
    view: View, zone: str, answer: Mapping[str, Any], now: Micros, left: Collection[str] = ()
) -> Outcome:
    """One zone's answer to `report` (see `cluster.service`), its reports read (see `reading`).  ``left``: nodes that
    still have machines whose end is on record; until that is over a node that was added again is not in use."""
    changes: list[Change] = [Soft(Contact(zone, heard_at=now))]
    events: list[Event] = []
    for node_id, told in (answer.get("nodes") or {}).items():
        node = view.nodes.get(node_id)
        if node is None or node.zone != zone or not node.asked:
            continue
        report: NodeReport | None = told["report"]
        old = view.contacts.get(node_id) or Contact(node_id)
        own = report is not None and report.node == node_id
        said = {m.instance_id: m for m in report.machines} if report is not None and own else old.told
        _contact(old, told, report, said, now, changes, events)
        if report is not None and own:
            clean = node_id not in left and not told.get("silent_since")
            _node(node, report, clean, now, changes, events)
            heard = _heard(answer, told, now)
            _machines(view, node, report, old.told, said, heard, now, changes, events)
    return Outcome(tuple(changes), tuple(events))


def lost(view: View, zone: str, trouble: str, silence_after: Micros, now: Micros) -> Outcome:
    """The zone did not answer: silent once it has not for a while; its instances keep their state."""
    old = view.contacts.get(zone) or Contact(zone)
    since = old.silent_since
    if since is None:
        last = old.heard_at if old.heard_at is not None else now
        since = last if now - last >= silence_after or old.heard_at is None else None
    return Outcome((Soft(replace(old, silent_since=since, trouble=trouble if since is not None else "")),))


def _contact(
    old: Contact,
    told: Mapping[str, Any],
    report: NodeReport | None,
    said: Mapping[str, MachineReport],
    now: Micros,
    changes: list[Change],
    events: list[Event],
) -> None:
    heard, since = told.get("heard_at"), told.get("silent_since")
    if heard is None and since is None:
        return  # the cluster controller has not asked it yet
    version = int(told.get("version") or 0)
    warnings = report.warnings if report is not None else old.warnings  # one that says the same is left out
    trouble = str(told.get("trouble") or "") if since else ""
    changes.append(Soft(Contact(old.id, heard, since, trouble, version, warnings, said)))
    if bool(warnings) != bool(old.warnings):
        kind = "node.warned" if warnings else "node.unwarned"
        events.append(event(kind, old.id, now, old.id, facts={"warnings": list(warnings)}))


def _node(
    node: Node, r: NodeReport, clean: bool, now: Micros, changes: list[Change], events: list[Event]
) -> None:
    returns = node.admin_state == "returning" and clean
    if returns:
        node = replace(node, admin_state="active")
        changes.append(Put(node))
        events.append(event("node.returned", node.id, now, node.id))
    mac = r.mac if _MAC.fullmatch(r.mac) else ""  # it becomes a word of a command
    said = (*r.offer.parts(), r.architecture, r.hypervisor, r.boot_id, r.sleeps, mac)
    if said != _of_itself(node):
        new = changed(node, **dict(zip(_OF_ITSELF, said, strict=True)))
        changes.append(Put(new))
        kind = "node.rebooted" if node.boot_id and node.boot_id != r.boot_id else "node.changed"
        facts = {
            "cores": new.cores,
            "memory_mb": new.memory_mb,
            "disk_gb": new.disk_gb,
            "boot_id": new.boot_id,
        }
        events.append(event(kind, node.id, now, node.id, facts=facts))


def _heard(answer: Mapping[str, Any], told: Mapping[str, Any], now: Micros) -> Micros | None:
    """When the cluster controller was given the report that it passes on, by the cloud's clock; None: it does not say."""
    said, came = answer.get("now"), told.get("told_at")
    return now - max(0, said - came) if type(said) is int and type(came) is int and came > 0 else None


def _since(m: MachineReport, report: NodeReport, heard: Micros | None) -> Micros | None:
    """When it became so, by the cloud's clock.  Only lengths of time are taken from other clocks, which may be wrong; so what
    happened while nobody here could be told of it is known all the same."""
    if heard is None or not m.since or not report.now:
        return None
    return heard - max(0, report.now - m.since)


def _machines(
    view: View,
    node: Node,
    report: NodeReport,
    before: Mapping[str, MachineReport],
    said: Mapping[str, MachineReport],
    heard: Micros | None,
    now: Micros,
    changes: list[Change],
    events: list[Event],
) -> None:
    """``before``, ``said``: what it told last time and tells now, by machine."""
    for machine in report.machines:
        if before.get(machine.instance_id) is machine:
            continue  # the same words as last time (`reading`), and those were taken over
        row = view.instances.get(machine.instance_id)
        if row is None or row.node != node.id:
            continue
        seen = lifecycle.observe(row, machine, now, _since(machine, report, heard))
        if seen is not None:
            _record(row, seen, now, changes, events)
    for instance_id in sorted(i for i in view.on_node.get(node.id, ()) if i not in said):
        row = view.instances[instance_id]
        if row.seen_generation == row.generation and row.seen is not Seen.NOTHING:
            _forgotten(row, now, changes, events)


def _record(
    old: Instance, seen: lifecycle.Observation, now: Micros, changes: list[Change], events: list[Event]
) -> None:
    new = seen.row
    changes.append(Put(new))
    usage = usage_row(old, seen.at)
    if seen.began:
        changes.append(Put(usage))
    if seen.ended:
        changes.append(Put(changed(usage, began=old.running_since or seen.at, ended=seen.at)))
    facts = {
        "seen": str(new.seen),
        "state": lifecycle.state(new),
        "generation": new.generation,
        "node": new.node,
    }
    if new.reason:
        facts["reason"] = new.reason
    if new.seen_detail:
        facts["detail"] = new.seen_detail
    if seen.began or seen.ended:
        facts["since"] = seen.at  # what is charged begins or ends there
    if seen.ended and old.running_since is not None:  # of this run, for policies that count it
        facts["core_seconds"] = old.cores * (seen.at - old.running_since) / SECOND
    events.append(event("instance.seen", new.id, now, new.node, new.account_id, facts))


def usage_row(i: Instance, now: Micros) -> Usage:
    return Usage(
        f"{i.id}/{i.generation}",
        i.id,
        i.node,
        i.vm_type,
        i.account_id,
        i.created_by,
        i.cores,
        i.memory_mb,
        i.disk_gb,
        began=now,
    )


def _forgotten(row: Instance, now: Micros, changes: list[Change], events: list[Event]) -> None:
    """The node had it and no longer knows of it: asked again, as one whose disk must exist.  One that is known to be off
    stays so: forgetting starts nothing, and takes back no cores."""
    if row.seen is Seen.FAILED if row.intent is Intent.RUNNING else lifecycle.is_off(row):
        return
    new = changed(
        row,
        seen=Seen.NOTHING,
        next_try=now,
        seen_detail="the node no longer mentions it",
        deadline=row.deadline if row.deadline is not None else now + lifecycle.START_DEADLINE,
        reason=row.reason or f"{row.node} no longer mentions it and is asked again",
        version=row.version + 1,
    )
    changes.append(Put(new))
    events.append(event("instance.forgotten", row.id, now, row.node, row.account_id))
