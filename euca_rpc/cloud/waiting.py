"""Launches that wait: admitted later, placed later, and until then pending, on no node.

    launch ─► a policy says Wait │ no room, and its user waits ─► queue: reservation, instances, token, row; one transaction
                                                                    │
    something changed, or its moment has come ─► `turns` asks again ┼► placed: a node, a lease, "instance.launched"
                                                                    ├► still to wait: by whom, why, until when
                                                                    └► refused, or waited for too long: terminated, with why

Who waits holds no claim and no address, but counts against quotas: whoever asked for ten machines has asked for them.
The row `WaitingLaunch` says who holds the launch (a policy; or nobody: there is no room), until when it is asked again at
the latest, and when it is given up: as long as its own hint ``wait`` says and no longer than the site lets it.  The row and
the instances are durable, so a restart loses nobody.

Asked again when something changed that it may have waited for (`View.opened`: room came, a parameter, a published value,
somebody left the line) or when the moment has come that its policy named.  Policies hold whom they like for as long as they
like; those who only wait for room are served first come, first served, and nobody overtakes who wants the same zone and
architecture.  A launch whose user does not wait takes the room that it finds.

`decide` is pure and run with the reconciler's.  No policy runs in here: `turns` asks, between two transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from euca_rpc.clock import HOUR, SECOND, Micros, moment
from euca_rpc.cloud import gathering, launch, leases, lifecycle
from euca_rpc.cloud.changes import Change, Outcome, Put, Remove, Soft, event
from euca_rpc.cloud.view import AskedAgain, View
from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed
from euca_rpc.ids import INSTANCE, RESERVATION, Ids
from euca_rpc.policy.values import Granted, Held, Launch, Wait, Waiting
from euca_rpc.types import Event, Instance, WaitingLaunch

LONGEST: Micros = 24 * HOUR  # unless the settings say otherwise
SOONEST: Micros = SECOND  # nobody is asked again earlier, whatever a policy says, unless something changes
NO_ROOM = ""  # in the place of a policy

FOR_POLICY, FOR_ROOM = "Server.WaitingForPolicy", "Server.WaitingForRoom"
IN_VAIN, REFUSED, NOT_ALL = (
    "Server.WaitedInVain",
    "Server.LaunchRefused",
    "Server.InsufficientInstanceCapacity",
)


@dataclass(frozen=True, slots=True)
class AskAgain:
    """It is their turn, in this order."""

    ids: tuple[str, ...]  # of reservations


@dataclass(frozen=True, slots=True)
class GiveUp:
    """They waited for too long."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that waited has ended: the row goes."""

    ids: tuple[str, ...]


Action = AskAgain | GiveUp | Sweep


# ---------------------------------------------------------------------------------------------- the decision
def decide(view: View, now: Micros) -> tuple[list[Action], Micros | None]:
    """All that is due now, and the next moment at which something will be."""
    due: list[Micros] = []
    ask: list[str] = []
    late: list[str] = []
    before: set[tuple[str | None, str]] = set()  # who waits for room, further ahead in the line
    for _, id in view.line:
        waits, row = view.waiting[id], view.waiting_rows[id]
        if row.until <= now:
            late.append(id)
            continue
        due.append(row.until)
        if row.policy == NO_ROOM and not row.passed:
            place = (row.zone, waits.launch.architecture)
            if overlap(place, before):
                continue
            before.add(place)
        if row.again <= now or (changed_since(view, id) and not row.firm):
            ask.append(id)
        else:
            due.append(row.again)
    swept = sorted(id for id in view.waiting_rows if id not in view.waiting)
    made = (GiveUp(tuple(late)), AskAgain(tuple(ask)), Sweep(tuple(swept)))
    actions: list[Action] = [action for action in made if action.ids]
    return actions, min(due, default=None)


def overlap(place: tuple[str | None, str], before: set[tuple[str | None, str]]) -> bool:
    """Somebody ahead may want the same room."""
    zone, architecture = place
    return any(a == architecture and (zone is None or z is None or z == zone) for z, a in before)


def changed_since(view: View, id: str) -> bool:
    """Something may be otherwise than it was when it was last asked."""
    asked = view.asked_again.get(id)
    return asked is None or asked.number < view.opened


def behind(view: View, wanted: Launch) -> bool:
    """A new launch that is ready to wait for room would overtake somebody who does."""
    before = {(w.launch.zone, w.launch.architecture) for w in view.waiting.values() if w.policy == NO_ROOM}
    return overlap((wanted.zone, wanted.architecture), before)


def could_ever(view: View, wanted: Launch) -> bool:
    """Whether it would have room if nothing else were there: who wants more than that waits in vain."""
    room = sum(
        wanted.size.count_in(target.offer)
        for target in view.targets.values()
        if wanted.zone in (None, target.zone) and target.architecture in ("", wanted.architecture)
    )
    return room >= wanted.min_count


def limit(wanted: Launch, longest: Micros) -> Micros:
    """How long it may wait."""
    return longest if wanted.wait is None else min(wanted.wait, longest)


# ----------------------------------------------------------------------------------------------- into the line
def no_room(until: Micros) -> Held:
    """Of one whose user is ready to wait for room.  Nobody need ask again before something changes."""
    return Held(NO_ROOM, Wait("There is no room for it now.", until))


def queue(plan: launch.Plan, count: int, ids: Ids, held: Held, longest: Micros) -> launch.Verb:
    """The verb: ``count`` instances, pending, on no node."""

    def verb(view: View, now: Micros) -> Outcome:
        if (found := launch.remembered(view, plan)) is not None:
            return Outcome(result=found)
        if count > launch.quota_left(view, plan):
            raise launch.Conflict("quota")
        wanted = plan.launch
        reservation_id = launch.new_id(ids, RESERVATION, view.reservations)
        since = max(now, view.line[-1][0] + 1) if view.line else now  # those of one moment: as they came
        until = now + limit(wanted, longest)
        row = WaitingLaunch(reservation_id, since, now, until, "", "", wanted.min_count, wanted.zone)
        row = _held(row, held, now)
        code, reason = said(row)
        taken: set[str] = set()
        instances = []
        for index in range(count):
            instance_id = launch.new_id(ids, INSTANCE, view.instances, taken)
            taken.add(instance_id)
            made = launch.new_instance(plan, instance_id, reservation_id, index, "", "", "", now, now)
            made = changed(made, zone=wanted.zone or "", deadline=row.until, reason_code=code, reason=reason)
            instances.append(made)
        reservation, made_rows = launch.new_reservation(plan, reservation_id, instances, now)
        changes: list[Change] = [*made_rows, Put(row)]
        facts = {"reservation": reservation_id, "type": plan.vm_type.name, "policy": row.policy}
        facts |= {"reason": reason, "until": moment(row.until)}
        events = tuple(event("instance.waits", i.id, now, plan.caller, facts=facts) for i in instances)
        return Outcome(tuple(changes), events, reservation)

    return verb


def _held(row: WaitingLaunch, held: Held, now: Micros) -> WaitingLaunch:
    again = max(held.wait.until, now + SOONEST)
    wait = held.wait
    return replace(row, policy=held.policy, reason=wait.reason, again=again, passed="", firm=wait.firm)


def said(row: WaitingLaunch) -> tuple[str, str]:
    """The code and the sentence that its instances show."""
    until = f"It waits since {moment(row.since)} and is given up at {moment(row.until)}."
    if row.policy == NO_ROOM:
        return FOR_ROOM, f"{row.reason} {until}"
    return FOR_POLICY, f"policy {row.policy} lets it wait: {row.reason} {until}"


# ------------------------------------------------------------------------------------------- while it waits
def still(view: View, now: Micros, id: str, number: int, held: Held | None = None) -> Outcome:
    """It was asked about on snapshot ``number`` and is to wait on; ``held`` None: as before."""
    row = view.waiting_rows.get(id)
    if row is None:
        return Outcome()
    new = row if held is None else _held(row, held, now)
    # in other hands it is asked once more: who has it now may never have seen it in the line
    asked = Soft(AskedAgain(id, number if new.policy == row.policy else -1))
    if new == row:
        return Outcome((asked,))
    return Outcome((*_told(view, row, new), asked))


def _told(view: View, row: WaitingLaunch, new: WaitingLaunch) -> tuple[Change, ...]:
    """The row, and what its instances say of it."""
    if said(new) == said(row):
        return (Put(new),)
    code, reason = said(new)
    rows = members(view, row.id)
    return (
        Put(new),
        *(Put(changed(i, reason_code=code, reason=reason, version=i.version + 1)) for i in rows),
    )


def members(view: View, id: str) -> list[Instance]:
    waits = view.waiting.get(id)
    return [view.instances[i] for i in waits.instance_ids] if waits is not None else []


def let_go(view: View, now: Micros, id: str, policy: str) -> Outcome:
    """``policy`` wants it to go on: it is not asked about it any more, the others and the room are.  The result:
    whether there is such a launch."""
    row = view.waiting_rows.get(id)
    if row is None or id not in view.waiting:
        return Outcome(result=False)
    new = replace(row, again=now, passed=policy, firm=False)
    told = _event("launch.let_go", view.waiting[id], now, f"policy/{policy}", {})
    return Outcome((Put(new),), (told,), True)


def hold(view: View, now: Micros, id: str, policy: str, reason: str, until: Micros) -> Outcome:
    """``policy`` holds it until then, whatever changes.  The result: whether there is such a launch."""
    row = view.waiting_rows.get(id)
    if row is None or id not in view.waiting:
        return Outcome(result=False)
    new = _held(row, Held(policy, Wait(reason, until, firm=True)), now)
    if new == row:
        return Outcome(result=True)
    told = _event("launch.held", view.waiting[id], now, f"policy/{policy}", {"reason": reason})
    return Outcome(_told(view, row, new), (told,), True)


def _event(kind: str, waits: Waiting, now: Micros, by: str, facts: dict[str, object]) -> Event:
    return event(kind, waits.reservation_id, now, by, waits.launch.account_id, facts)


# --------------------------------------------------------------------------------------------- out of the line
def place(
    view: View, now: Micros, id: str, nodes: Sequence[str], pool: launch.AddressPool, lease: Granted | None
) -> Outcome:
    """On ``nodes``, one for each machine; what is beyond them ends.  `launch.Conflict`: the room was taken meanwhile.
    The result: whether it was placed."""
    row, waits = view.waiting_rows.get(id), view.waiting.get(id)
    if row is None or waits is None:
        return Outcome(result=False)
    rows = members(view, id)
    if not waits.launch.min_count <= len(nodes) <= len(rows):
        raise launch.Conflict("count")
    launch.still_fits(view, nodes, waits.launch.size)
    used = view.last_used
    user = view.users.get(waits.launch.user_id)
    taken: set[str] = set()
    changes: list[Change] = [Remove(row)]
    events: list[Event] = []
    touched = {}
    for i, node_id in zip(rows, nodes, strict=False):
        public, private = pool.draw(view, taken, i.id)
        taken.add(public)
        used += 1
        touched[node_id] = replace(view.nodes[node_id], last_used=used)
        new = changed(
            i,
            node=node_id,
            zone=node_id.partition("/")[0],
            public_address=public,
            private_address=private,
            launched_at=now,
            next_try=gathering.told_at(view, now),
            deadline=now + lifecycle.START_DEADLINE,
            reason_code="",
            reason="",
            version=i.version + 1,
        )
        changes.append(Put(new))
        if lease is not None:
            changes.append(Put(leases.granted(i.id, lease)))
        facts = launch.told_of(new) | {"waited_since": row.since}
        who = user.name if user is not None else waits.launch.user_id
        events.append(event("instance.launched", i.id, now, who, i.account_id, facts))
    reason = f"there was room for {len(nodes)} of {len(rows)}, and {row.least} were to be enough"
    _end(rows[len(nodes) :], now, NOT_ALL, reason, changes, events)
    return Outcome((*changes, *map(Put, touched.values())), tuple(events), True)


def refuse(view: View, now: Micros, id: str, refusal: EucaError) -> Outcome:
    """Asked again, it is not let in."""
    return _over(view, now, id, REFUSED, f"it waited, and was then refused: {refusal.sentence}")


def give_up(view: View, now: Micros, ids: Sequence[str]) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for id in ids:
        row = view.waiting_rows.get(id)
        if row is None or row.until > now:
            continue
        what = "for room" if row.policy == NO_ROOM else f"because policy {row.policy} said so"
        reason = f"it waited from {moment(row.since)} to {moment(row.until)} {what}: {row.reason}"
        over = _over(view, now, id, IN_VAIN, reason)
        changes += over.changes
        events += over.events
    return Outcome(tuple(changes), tuple(events))


def sweep(view: View, now: Micros, ids: Sequence[str]) -> Outcome:
    gone = (view.waiting_rows[id] for id in ids if id in view.waiting_rows and id not in view.waiting)
    return Outcome(tuple(map(Remove, gone)))


def _over(view: View, now: Micros, id: str, code: str, reason: str) -> Outcome:
    row = view.waiting_rows.get(id)
    if row is None:
        return Outcome()
    changes: list[Change] = [Remove(row)]
    events: list[Event] = []
    _end(members(view, id), now, code, reason, changes, events)
    return Outcome(tuple(changes), tuple(events))


def _end(
    rows: Sequence[Instance],
    now: Micros,
    code: str,
    reason: str,
    changes: list[Change],
    events: list[Event],
) -> None:
    for i in rows:
        new = lifecycle.want_terminated(i, now, code, reason)
        changes.append(Put(new))
        facts = {"state": lifecycle.state(new), "code": code, "reason": reason}
        events.append(event("instance.terminate", i.id, now, "cloud", i.account_id, facts))
