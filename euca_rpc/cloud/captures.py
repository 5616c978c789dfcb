"""Images made from machines.

    begin ─► image "pending" + capture row ──► node copies the disk, puts it into the image store ──► receipt
                                                     │ its report says working │ done │ failed
             image "available" or "failed" ◄── take ─┘        the row goes, and the node is told to forget it

The row is the intent: it has a deadline, is repeated to its node until the node mentions it, and is gone when the image is
final.  Of what a node says only the image server's receipt for this image is believed, so an image is available when all of
its bytes are in the store and were inspected, and not before.  A node drops what it keeps of a capture only when told
to, and it is told whenever it mentions one that is over.

Same shape as `reconcile`: `decide` is pure and run when poked or due; what it asks for is written (`mark_…`) before it is
done; whether it worked is learnt from the next report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from euca_rpc.clock import HOUR, MINUTE, Micros, moment
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.changes import Change, Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.reconcile import BACKOFF, reachable, why_unreachable
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import MACHINE_IMAGE, Ids, resource_id
from euca_rpc.images import tickets
from euca_rpc.machines import CaptureReport, NodeReport
from euca_rpc.types import Caller, Capture, Event, Image, Instance

DEADLINE: Micros = HOUR  # from the request to the receipt: a full disk of 100 GB at 30 MB/s
PENDING, AVAILABLE, FAILED = "pending", "available", "failed"
LONGEST_NAME, LONGEST_DESCRIPTION = 128, 255

Receipts = Mapping[tuple[str, str], dict[str, Any] | str]  # (node, image) → facts, or what is wrong with it


# -------------------------------------------------------------------------------------------------- asked for
def begin(
    caller: Caller, ids: Ids, instance_id: str, name: str, description: str
) -> Callable[[View, Micros], Outcome]:
    """The result is the pending image."""

    def verb(view: View, now: Micros) -> Outcome:
        i = _machine(view, caller, instance_id)
        check_name(name)
        if len(description) > LONGEST_DESCRIPTION:
            raise EucaError(
                "parameter_invalid",
                f"the description has {len(description)} characters; at most {LONGEST_DESCRIPTION} are kept",
            )
        for other in view.images.values():
            if (other.account_id, other.name) == (caller.account_id, name) and _counts(other):
                raise EucaError(
                    "name_duplicate", f"the name {name!r} is in use by {other.id}: choose another one"
                )
        deadline = now + DEADLINE
        image = Image(
            id=resource_id(ids, MACHINE_IMAGE),
            kind="machine",
            name=name,
            account_id=caller.account_id,
            created_by=caller.user_id,
            sha256="",
            bytes=0,
            virtual_bytes=i.disk_gb << 30,
            format="qcow2",
            architecture=i.architecture,
            kernel_id=i.kernel_id,
            ramdisk_id=i.ramdisk_id,
            public=False,
            created_at=now,
            state=PENDING,
            reason_code="Server.Capturing",
            reason=f"the disk of {i.id} is being copied on {i.node}, until {moment(deadline)} at the latest",
            description=description,
        )
        row = Capture(image.id, i.id, i.generation, i.node, most_bytes(i.disk_gb), deadline, next_try=now)
        facts = {"name": name, "instance": i.id, "node": i.node}
        told = event("image.capture", image.id, now, caller, facts=facts)
        return Outcome((Insert(image), Insert(row)), (told,), image)

    return verb


def _machine(view: View, caller: Caller, instance_id: str) -> Instance:
    i = view.instances.get(instance_id)
    if i is None or not (caller.is_admin or i.account_id == caller.account_id):
        raise EucaError("instance_not_found", f"the instance id {instance_id!r} does not exist")
    state = lifecycle.state(i)
    if state not in (lifecycle.RUNNING, lifecycle.STOPPED):
        raise EucaError(
            "state_conflict",
            f"{i.id} is {state}: an image can be made of it when it is {lifecycle.RUNNING} or {lifecycle.STOPPED}",
        )
    for needed in (i.kernel_id, i.ramdisk_id):
        if needed is not None and (needed not in view.images or view.images[needed].removed_at is not None):
            raise EucaError(
                "image_not_found",
                f"{i.id} runs with {needed}, which was removed: no machine could be started from an image of it",
            )
    return i


def check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME:
        raise EucaError(
            "parameter_invalid", f"the image name {name!r}: give one of 1 to {LONGEST_NAME} characters"
        )


def _counts(image: Image) -> bool:
    return image.removed_at is None and image.state != FAILED


def most_bytes(disk_gb: int) -> int:
    """A blob of the disk in full: its clusters, the tables of qcow2 (under a thousandth), its head."""
    return (disk_gb << 30) + (disk_gb << 20) + (64 << 20)


# ------------------------------------------------------------------------------------------------ the decision
@dataclass(frozen=True, slots=True)
class Order:
    """Tell a node to make these images."""

    node: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Late:
    """Their deadline passed, or their node will never be asked again."""

    ids: tuple[str, ...]


def decide(view: View, now: Micros) -> tuple[list[Order | Late], Micros | None]:
    """All that is due now, and the next moment at which something will be."""
    if not view.captures:
        return [], None
    due: list[Micros] = []
    late: list[str] = []
    orders: dict[str, list[str]] = defaultdict(list)
    for image_id in sorted(view.captures):
        row = view.captures[image_id]
        if _is_late(view, row, now):
            late.append(row.id)
            continue
        due.append(row.deadline)
        if row.accepted or not reachable(view, row.node):
            continue  # a report that says otherwise wakes us
        if row.next_try <= now:
            orders[row.node].append(row.id)
        else:
            due.append(row.next_try)
    actions: list[Order | Late] = [Order(node, tuple(ids)) for node, ids in sorted(orders.items())]
    if late:
        actions.append(Late(tuple(late)))
    return actions, min(due, default=None)


def _is_late(view: View, row: Capture, now: Micros) -> bool:
    node = view.nodes.get(row.node)
    return row.deadline <= now or node is None or node.admin_state in ("fenced", "removed")


# ------------------------------------------------------------------------------ written before it is carried out
def mark_ordered(view: View, now: Micros, action: Order) -> Outcome:
    """Count the attempt before the call; the result is what is still to be told."""
    rows = [view.captures[i] for i in action.ids if i in view.captures]
    marked = [
        replace(r, attempts=r.attempts + 1, next_try=now + BACKOFF[min(r.attempts, len(BACKOFF) - 1)])
        for r in rows
        if not r.accepted
    ]
    return Outcome(tuple(map(Put, marked)), result=tuple(marked))


def mark_late(view: View, now: Micros, action: Late) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for row in (view.captures[i] for i in action.ids if i in view.captures):
        if not _is_late(view, row, now):
            continue
        if not reachable(view, row.node):
            why, code = f"{row.node}, {why_unreachable(view, row.node)}", "Server.NodeUnreachable"
        else:
            told = f": {row.detail}" if row.detail else ""
            why, code = f"{row.node} answers but has not made it{told}", "Server.InternalError"
        sentence = f"the disk of {row.instance_id} was not copied within {DEADLINE // MINUTE} minutes: {why}"
        if row.deadline > now:
            sentence = f"the disk of {row.instance_id} cannot be copied: it is on {why}"
        _failed(view, row, code, sentence, now, changes, events)
    return Outcome(tuple(changes), tuple(events))


# ----------------------------------------------------------------------------------------------- what was said
def receipts(told: Mapping[str, Any], key: bytes, wall: Micros) -> Receipts:
    """What the image server states of those that nodes say are done."""
    found: dict[tuple[str, str], dict[str, Any] | str] = {}
    for node_id, said in _said(told):
        if said.state == "done":
            try:
                found[node_id, said.image_id] = tickets.check(key, said.receipt, tickets.RECEIPT, wall)
            except EucaError as error:
                found[node_id, said.image_id] = error.sentence
    return found


def take(view: View, zone: str, told: Mapping[str, Any], shown: Receipts, now: Micros) -> Outcome:
    """What a zone's answer to `report` says of captures on its own nodes; the word of one that was fenced counts nothing.
    The result are those to be forgotten: [(node, image id)]."""
    changes: list[Change] = []
    events: list[Event] = []
    over: list[tuple[str, str]] = []
    mentioned = set()
    for node_id, said in _said(told):
        node = view.nodes.get(node_id)
        if node is None or node.zone != zone or node.admin_state in ("fenced", "removed"):
            continue
        row = view.captures.get(said.image_id)
        if row is None or row.node != node_id:
            if said.image_id in view.images:
                over.append((node_id, said.image_id))
            continue
        if row.id in mentioned:
            continue  # said twice: the first word counts
        mentioned.add(row.id)
        if said.state == "working":
            if not row.accepted or row.detail != said.detail:
                changes.append(Put(replace(row, accepted=True, detail=said.detail)))
            continue
        over.append((node_id, row.id))
        if said.state == "done":
            _done(view, row, shown.get((node_id, row.id), "it shows none"), now, changes, events)
        else:
            sentence = said.detail or f"{node_id} could not copy the disk of {row.instance_id}"
            _failed(view, row, "Server.InternalError", sentence, now, changes, events)
    for row in (view.captures[image_id] for image_id in sorted(view.captures)):
        if row.node.partition("/")[0] != zone:
            continue
        entry = (told.get("nodes") or {}).get(row.node)
        heard = entry is not None and entry["report"] is not None
        if heard and row.accepted and row.id not in mentioned:  # the node forgot it: asked again
            changes.append(Put(replace(row, accepted=False, next_try=now)))
    return Outcome(tuple(changes), tuple(events), over)


def _said(told: Mapping[str, Any]) -> list[tuple[str, CaptureReport]]:
    reports: list[tuple[str, NodeReport | None]] = [
        (node_id, entry["report"]) for node_id, entry in (told.get("nodes") or {}).items()
    ]
    return [(node_id, said) for node_id, report in reports if report is not None for said in report.captures]


def _done(
    view: View,
    row: Capture,
    receipt: dict[str, Any] | str,
    now: Micros,
    changes: list[Change],
    events: list[Event],
) -> None:
    image = view.images[row.id]
    wrong = receipt if isinstance(receipt, str) else _objection(image, row, receipt)
    if wrong or isinstance(receipt, str):
        sentence = f"{row.node} says that it has stored the disk of {row.instance_id}, but its receipt is not believed: {wrong}"
        _failed(view, row, "Server.InternalError", sentence, now, changes, events)
        return
    made = replace(
        image,
        sha256=str(receipt["sha256"]),
        bytes=int(receipt["bytes"]),
        virtual_bytes=int(receipt["virtual_bytes"]),
        format=str(receipt["format"]),
        state=AVAILABLE,
        reason_code="",
        reason="",
    )
    facts = {"name": made.name, "sha256": made.sha256, "bytes": made.bytes, "instance": row.instance_id}
    changes += [Put(made), Remove(row)]
    events.append(event("image.captured", row.id, now, row.node, made.account_id, facts))


def _objection(image: Image, row: Capture, receipt: Mapping[str, Any]) -> str:
    for fact, wanted in (
        ("image_id", row.id),
        ("kind", image.kind),
        ("architecture", image.architecture),
    ):
        if receipt.get(fact) != wanted:
            return f"its {fact} is {receipt.get(fact)!r}, not {wanted!r}"
    return ""


def _failed(
    view: View,
    row: Capture,
    code: str,
    sentence: str,
    now: Micros,
    changes: list[Change],
    events: list[Event],
) -> None:
    image = view.images[row.id]
    changes += [Put(replace(image, state=FAILED, reason_code=code, reason=sentence)), Remove(row)]
    facts = {"reason": sentence, "instance": row.instance_id}
    events.append(event("image.failed", row.id, now, row.node, image.account_id, facts))
