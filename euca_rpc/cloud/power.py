"""The power of nodes: put to sleep when they are empty, woken when they are needed.

                 sleep ordered                   silent                       wake ordered
          on ───────────────────► sleeping ───────────────────► asleep ───────────────────► waking
          ▲  ◄── refused, or still answers at the deadline ──┘     │ answers by itself         │ answers
          └────────────────────────────────────────────────────────┴───────────────────────────┘

What is wanted is a column of the node's row; what is so the contacts say: a node that sleeps is one that was told to and
fell silent.  Its silence is expected and raised by nobody.  Only an empty node sleeps: that is checked in the transaction
that takes it out of use, on the same claims as a launch, so no machine ever comes to one that is on its way to bed.  An
order to sleep says until when it holds, well before the node counts as one that stayed awake, so that a late one puts no
node to sleep that is in use again.

A node that does not wake in time stays `waking` with that reason, is asked again and again, and is shown by doctor.

`decide` is pure and looks at the nodes that rest, not at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from euca_rpc.clock import MINUTE, SECOND, Micros, moment
from euca_rpc.cloud.changes import Change, Outcome, Put, event
from euca_rpc.cloud.nodes import find_node
from euca_rpc.cloud.view import View, silence
from euca_rpc.errors import EucaError
from euca_rpc.types import Caller, Event, Node

ON, SLEEPING, ASLEEP, WAKING = "on", "sleeping", "asleep", "waking"

# from the wish until it is silent: the order, a suspend to disk, the silence being noticed
FALL: Micros = 3 * MINUTE
ORDER_HOLDS: Micros = MINUTE  # the node may obey so long; the rest of FALL is for doing it
RISE: Micros = 10 * MINUTE  # from the wish until it answers: a server's firmware takes minutes
# answers that say no; others say nothing
REFUSALS = ("unsupported", "state_conflict", "unavailable", "action_unknown")
AGAIN: Micros = 20 * SECOND  # an order that may have been lost is sent again


@dataclass(frozen=True, slots=True)
class Order:
    """One call about one node: sleep or rouse."""

    method: str
    node: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What was seen of these, or a deadline, makes them something else."""

    ids: tuple[str, ...]


# ------------------------------------------------------------------------------------------------ the decision
def decide(view: View, now: Micros) -> tuple[list[Order | Turn], Micros | None]:
    """All that is due now, and the next moment at which something will be."""
    orders: list[Order | Turn] = []
    turned: list[str] = []
    due: list[Micros] = []
    for id in sorted(view.resting):
        node = view.nodes[id]
        if turn(view, node, now) is not None:
            turned.append(id)
            continue
        if node.power_deadline is not None and node.power_deadline > now:
            due.append(node.power_deadline)  # (one that passed waits for news: its zone is silent)
        if node.power in (SLEEPING, WAKING) and not silence(view.contacts.get(node.zone)):
            if node.power_try > now:
                due.append(node.power_try)
            elif node.power == WAKING:
                orders.append(Order("rouse", id))
            elif now < _order_until(node):
                orders.append(Order("sleep", id))
    if turned:
        orders.append(Turn(tuple(turned)))
    return orders, min(due, default=None)


def turn(view: View, node: Node, now: Micros) -> tuple[Node, str] | None:
    """What becomes of a node that rests, and the event that tells it; None: nothing yet."""
    contact = view.contacts.get(node.id)
    known = not silence(view.contacts.get(node.zone)) and contact is not None
    silent = known and contact is not None and contact.silent_since is not None
    answers = known and contact is not None and contact.heard_at is not None and not silent
    over = node.power_deadline is not None and node.power_deadline <= now
    if node.power == SLEEPING and silent:
        return replace(node, power=ASLEEP, power_since=now, power_deadline=None), "node.asleep"
    if node.power == SLEEPING and over and answers:
        return _on(node, now, "it was told to sleep and stayed awake"), "node.stayed_awake"
    if node.power == ASLEEP and answers:
        return _on(node, now, "it woke by itself"), "node.awake"
    if node.power == WAKING and answers:
        return _on(node, now, node.why), "node.awake"
    if node.power == WAKING and over:
        why = f"{node.why}; it did not wake within {RISE // MINUTE} minutes and is asked again"
        return replace(node, power_deadline=None, why=why), "node.sleeps_on"
    return None


def _on(node: Node, now: Micros, why: str) -> Node:
    return replace(node, power=ON, power_since=now, power_deadline=None, why=why)


def overdue(node: Node) -> bool:
    """It should have woken by now."""
    return node.power == WAKING and node.power_deadline is None


def _order_until(node: Node) -> Micros:
    return node.power_since + ORDER_HOLDS


# ----------------------------------------------------------------------------------------------- what is wanted
def sleep(by: Caller | str, name: str, reason: str) -> Callable[[View, Micros], Outcome]:
    """state_conflict: it has machines, is not in use, does not answer, or cannot sleep."""

    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        if node.power in (SLEEPING, ASLEEP):
            return Outcome(result=node)
        if trouble := _unfit(view, node):
            raise EucaError("state_conflict", f"{node.id} cannot be put to sleep: {trouble}")
        return _wished(node, SLEEPING, now, now + FALL, by, reason)

    return verb


def _unfit(view: View, node: Node) -> str:
    if node.admin_state != "active" and not (node.admin_state == "drained" and node.drained_by):
        return f"it is {node.admin_state}"
    if node.power != ON:
        return "it is being woken"
    if held := sorted(view.on_node.get(node.id, ())):
        return f"it has {len(held)} instances ({', '.join(held[:5])}{' …' if len(held) > 5 else ''})"
    if said := silence(view.contacts.get(node.zone)) or silence(view.contacts.get(node.id)):
        return f"it is {said}"
    if not node.sleeps:
        return "it says that it has no [node] sleep_command in its settings"
    return ""


def wake(by: Caller | str, name: str, reason: str) -> Callable[[View, Micros], Outcome]:
    """state_conflict: it is on its way to sleep, and has to be there first."""

    def verb(view: View, now: Micros) -> Outcome:
        node = find_node(view, name)
        if node.power in (ON, WAKING) or not node.asked:
            return Outcome(result=node)
        if node.power == SLEEPING:
            raise EucaError(
                "state_conflict",
                f"{node.id} is going to sleep since {moment(node.power_since)}: it can be woken when it is asleep",
            )
        return _wished(node, WAKING, now, now + RISE, by, reason)

    return verb


def _wished(node: Node, power: str, now: Micros, deadline: Micros, by: Caller | str, reason: str) -> Outcome:
    who = by if isinstance(by, str) else by.user_name
    new = replace(
        node,
        power=power,
        power_since=now,
        power_try=now,
        power_deadline=deadline,
        power_by=who,
        why=reason,
    )
    kind = "node.sleep" if power == SLEEPING else "node.wake"
    return Outcome((Put(new),), (event(kind, node.id, now, by, facts={"reason": reason}),), new)


# ------------------------------------------------------------------------------ written before it is carried out
def mark_ordered(view: View, now: Micros, order: Order) -> Outcome:
    """Before the call.  The result is its arguments; None if it is not wanted any more."""
    node = view.nodes.get(order.node)
    if node is None or node.power != (WAKING if order.method == "rouse" else SLEEPING):
        return Outcome()
    args: dict[str, object] = {"node": node.id}
    args |= {"mac": node.mac} if order.method == "rouse" else {"until": _order_until(node)}
    return Outcome((Put(replace(node, power_try=now + AGAIN)),), (), args)


def mark_turned(view: View, now: Micros, ids: Iterable[str]) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for id in ids:
        node = view.nodes.get(id)
        found = turn(view, node, now) if node is not None and id in view.resting else None
        if found is not None:
            new, kind = found
            changes.append(Put(new))
            events.append(event(kind, id, now, "cloud", facts={"reason": new.why}))
    return Outcome(tuple(changes), tuple(events))


def mark_refused(view: View, now: Micros, order: Order, sentence: str) -> Outcome:
    """The node or its cluster controller said no: one that was to sleep is on again, one that is to wake says why not."""
    node = view.nodes.get(order.node)
    if node is None or node.power != (WAKING if order.method == "rouse" else SLEEPING):
        return Outcome()
    if order.method == "sleep":
        new, kind = _on(node, now, sentence), "node.sleep_refused"
    elif node.why == sentence:
        return Outcome()
    else:
        new, kind = replace(node, why=sentence), "node.wake_refused"
    return Outcome((Put(new),), (event(kind, node.id, now, "cloud", facts={"reason": sentence}),))
