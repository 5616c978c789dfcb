"""The cloud controller: what holds the parts together, and carries out what the reconciler decides.

    interfaces ──► core (nouns) ──► journal ──► store, view
                                       │ published
    step() ◄─── woken ─────────────────┘
      decide(view) ─► mark (a verb: written before it is done) ─► carrier ─► cluster controllers
                                                                     │ answer
      reports.take (a verb) ◄────────────────────────────────────────┘

It has no thread and no clock of its own: a daemon or the simulator steps it.  `step` waits for the local commit of its
marks and for nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from euca_rpc.carrier import Answer, Carrier
from euca_rpc.clock import MINUTE, SECOND, Clock, Micros
from euca_rpc.cloud import (
    captures,
    gathering,
    launch,
    leases,
    lifecycle,
    polling,
    power,
    reconcile,
    reports,
    waiting,
)
from euca_rpc.cloud.changes import Change, Outcome, Put, Soft
from euca_rpc.cloud.credentials import Credentials
from euca_rpc.cloud.images import Depot, Images, NoDepot
from euca_rpc.cloud.instances import Instances
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.keys import KeyPool, Keys
from euca_rpc.cloud.nodes import FENCED
from euca_rpc.cloud.office import OfficeSettings, open_office
from euca_rpc.cloud.reading import Reader
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.specs import Blobs, machine_spec
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.tags import Tags
from euca_rpc.cloud.tending import NoTends, Tender, Tends
from euca_rpc.cloud.totals import Accountant, Accounts, NoAccounts
from euca_rpc.cloud.turns import Placer, Turns
from euca_rpc.cloud.view import View
from euca_rpc.cloud.zones import Types, Zones
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.machines import NodeReport
from euca_rpc.nouns import Core
from euca_rpc.policy.values import Held, Launch, LaunchClass
from euca_rpc.types import Capture, Instance, Node, Reservation, Seen, Tag, Token
from euca_rpc.wire.codec import pack
from euca_rpc.wire.contracts import CLUSTER, object_name

log = logging.getLogger("euca.cloud")

CLOCK_JUMP: Micros = (
    5 * MINUTE
)  # between two steps, against the monotonic clock: then nothing is concluded from it

Action = reconcile.Action | captures.Order | captures.Late | leases.Warn | leases.End | waiting.Action
_LAUNCHED = (
    Instance,
    Reservation,
    Token,
    Tag,
    Node,
)  # rows that a launch writes; an instance says when it is due


@dataclass(frozen=True, slots=True)
class Settings:
    cloud_id: str
    blobs: Blobs
    pool: launch.AddressPool = field(default_factory=launch.AddressPool)
    poll: Micros = polling.EVERY
    silence: Micros = 10 * SECOND
    revoked: Callable[[], Iterable[int]] = tuple  # serial numbers of certificates that count no more
    office: OfficeSettings = field(default_factory=OfficeSettings)
    accounts: Accounts = field(default_factory=NoAccounts)
    longest_wait: Micros = waiting.LONGEST
    tends: Tends = field(default_factory=NoTends)
    depot: Depot = field(default_factory=NoDepot)


class CloudController:
    """A `Stepper`; `core` is what interfaces get."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        carrier: Carrier,
        placer: Placer,
        seal: Seal,
        settings: Settings,
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.store, self.journal, self.ids, self.clock = store, journal, ids, clock
        self.settings = settings
        self._carrier = carrier
        self._placer = placer
        self._polls = polling.Polls(settings.poll)
        self._reader = Reader()
        self._due: Micros | None = (
            None  # when the next step comes of itself; None: a step is under way, or none is due
        )
        self._lease_hours = journal.view.lease_hours  # as the last step saw them
        self._skew: Micros | None = None  # cloud time − monotonic time, as it was when last believed
        self.clock_trouble = ""
        self._accountant = Accountant(settings.accounts, store, journal)
        self.key_pool = KeyPool(carrier)
        journal.published = self._published
        self.images = Images(journal, ids, clock, settings.blobs, settings.depot)
        self._instances = Instances(
            journal, clock, ids, carrier, placer, settings.pool, store, settings.longest_wait
        )
        self._turns = Turns(placer, journal, clock, settings.pool)
        self._opened, self._line = -1, journal.view.line  # of those who wait, as the last step saw it
        self.office = office = open_office(
            settings.office, store, journal, clock, ids, seal, lambda: self.wake()
        )
        letter, posted = office.reception.letter, lambda: office.reception.posted()
        self._tender = Tender(settings.tends, journal, letter, posted, self._instances.start)
        self.core = Core(
            cloud_id=settings.cloud_id,
            zones=Zones(journal),
            types=Types(journal),
            images=self.images,
            keys=Keys(journal, ids, self.key_pool),
            instances=self._instances,
            tags=Tags(journal),
            credentials=Credentials(journal, seal, ids, clock),
            sign_up=office.sign_up,
            sessions=office.sessions,
            people=office.people,
            mails=office.mails,
            history=office.history,
            nodes=office.nodes,
            clock=clock,
            ids=ids,
        )

    def _published(self, view: View, changes: Sequence[Change]) -> None:
        """A step that comes of itself within `GATHER` will see it: many launches wake nobody twenty times each."""
        due = self._due
        now = self.clock.now()
        if self._in_time(view, changes) or (changes and all(_foreseen(c.row, now) for c in changes)):
            return
        news = view.unsettled or view.captures or view.lease_hours is not self._lease_hours
        news = news or self._opens(view)
        if (news and (due is None or due > now + gathering.GATHER)) or (
            due is not None and (tend := self._tender.due(view, now)) is not None and tend < due
        ):
            self.wake()

    def _opens(self, view: View) -> bool:
        """Somebody who waits may go on, or is new."""
        return bool(view.line) and (view.opened > self._opened or view.line is not self._line)

    def _in_time(self, view: View, changes: Sequence[Change]) -> bool:
        """Only launches, and none is to be told before the next step comes of itself."""
        due = self._due
        if due is None or any(type(c.row) not in _LAUNCHED for c in changes):
            return False
        rows = (c.row for c in changes if type(c.row) is Instance)
        return all(row.next_try >= due or row.id not in view.unsettled for row in rows)

    def poke(self, zone: str) -> None:
        """A cluster controller has news: ask it now, or as soon as it has answered what it was asked before."""
        self._polls.poke(zone)
        self.wake()

    # --------------------------------------------------------------------------------------------------- step
    def step(self) -> Micros | None:
        self._due = None  # before the view is read: what is published from here on wakes
        due = self._step()
        self._due = due
        return due

    def _step(self) -> Micros | None:
        now = self.clock.now()
        self._instances.consoles.expire(now)
        view = self.journal.view
        asked, asked_due = self._polls.take_due(view.zones, now)
        for zone, question in asked:
            self._ask(zone, question)
        actions, due = reconcile.decide(view, now)
        copies, copies_due = captures.decide(view, now)
        ends, ends_due = leases.decide(view, now)
        self._lease_hours = view.lease_hours
        turns, turns_due = self._turns.decide(view, now)
        self._opened, self._line = view.opened, view.line
        if self._clock_jumped(now):
            actions = [a for a in actions if not isinstance(a, reconcile.Overdue | reconcile.Prune)]
            copies = [a for a in copies if not isinstance(a, captures.Late)]
            ends = []
            turns = [a for a in turns if not isinstance(a, waiting.GiveUp)]
        all_due = [asked_due, due, copies_due, ends_due, turns_due]
        if actions or copies or ends or turns:
            all_due += self._carry_out((*actions, *copies, *ends, *turns), now)
        all_due.append(self._accountant.step(now))
        if not self.clock_trouble:
            self._tender.step(now)
        all_due.append(self._turn_nodes(now))
        if not self.clock_trouble:
            all_due.append(self._tender.due(self.journal.view, now))
        return min([at for at in all_due if at is not None], default=None)

    def _carry_out(self, actions: Sequence[Action], now: Micros) -> list[Micros | None]:
        """The answer: when to come again because of it."""
        due: list[Micros | None] = []
        tells = [action for action in actions if isinstance(action, reconcile.Tell)]
        for action in actions:
            match action:
                case reconcile.Tell():
                    if action is tells[0]:
                        due.append(self._tell(tells))
                case reconcile.Overdue():
                    self.journal.do(partial(reconcile.mark_overdue, action=action))
                case reconcile.Move():
                    self._move(action.id)
                case reconcile.Prune():
                    self.journal.do(partial(reconcile.prune, ids=action.ids))
                case captures.Order():
                    self._order(action)
                case captures.Late():
                    self.journal.do(partial(captures.mark_late, action=action))
                case leases.Warn():
                    letter = self.office.reception.letter
                    self.journal.do(partial(leases.warn, ids=action.ids, letter=letter))
                    self.office.reception.posted()
                case leases.End():
                    self.journal.do(partial(leases.end, ids=action.ids))
                case waiting.AskAgain():
                    self._turns.take(action.ids)
                    due.append(now)  # others may be next, or have their own moment
                case waiting.GiveUp():
                    self.journal.do(partial(waiting.give_up, ids=action.ids))
                case waiting.Sweep():
                    self.journal.do(partial(waiting.sweep, ids=action.ids))
        return due

    def _turn_nodes(self, now: Micros) -> Micros | None:
        """Nodes that are to sleep or wake; after the policies, which may just have wished it."""
        if not self.journal.view.resting:
            return None
        orders, due = power.decide(self.journal.view, now)
        for order in orders:
            match order:
                case power.Turn():
                    self.journal.do(partial(power.mark_turned, ids=order.ids))
                case power.Order():
                    self._order_power(order)
        return due

    def _order_power(self, order: power.Order) -> None:
        args = self.journal.do(partial(power.mark_ordered, order=order))
        if args is None:
            return

        def answered(answer: Answer) -> None:
            """Whether it worked is seen; that it was refused is only said."""
            if answer.error is None or answer.error.symbol not in power.REFUSALS:
                return
            sentence = answer.error.sentence
            refused = self.journal.submit(lambda v, n: power.mark_refused(v, n, order, sentence))
            refused.add_done_callback(lambda done: self.wake())

        zone = order.node.partition("/")[0]
        self._carrier.call(object_name(CLUSTER, zone), order.method, args, answered)

    def _clock_jumped(self, now: Micros) -> bool:
        """A wrong clock must not terminate machines: deadlines are held until it is right again or was accepted."""
        skew = now - self.clock.monotonic()
        if self._skew is None:
            self._skew = skew
        if abs(skew - self._skew) <= CLOCK_JUMP:
            self._skew, self.clock_trouble = skew, ""  # follows a slow correction, notices a jump
            return False
        if not self.clock_trouble:
            self.clock_trouble = (
                f"the clock jumped by {(skew - self._skew) // SECOND} s: deadlines are held; set it right, or restart the "
                "cloud controller to accept the new time"
            )
            log.error("%s", self.clock_trouble)
        return True

    # ----------------------------------------------------------------------------------------- asking clusters
    def _ask(self, zone: str, question: int) -> None:
        view = self.journal.view
        contacts = view.contacts
        known = {
            n.id: contact.version
            for n in view.nodes.values()
            if n.zone == zone and (contact := contacts.get(n.id)) is not None
        }
        self._carrier.call(
            object_name(CLUSTER, zone),
            "report",
            {"known": known, "deltas": True},
            lambda answer: self._answered(zone, question, answer),
        )

    def _answered(self, zone: str, question: int, answer: Answer) -> None:
        if not self._polls.heard(zone, question):
            return
        told: Mapping[str, Any] = {}
        if answer.error is None:
            try:
                told = self._reader.read(answer.value)
            except EucaError as nonsense:
                answer = Answer(None, nonsense)
        strays = self._strays(told)
        receipts = captures.receipts(told, self.settings.blobs.ticket_key, self.clock.wall())

        def verb(view: View, now: Micros) -> Outcome:
            if zone not in view.zones:
                return Outcome()  # it was removed meanwhile
            if answer.error is not None:
                return reports.lost(view, zone, answer.error.sentence, self.settings.silence, now)
            taken = reports.take(view, zone, told, now, {node for node, _ in strays})
            made = captures.take(view, zone, told, receipts, now)
            again: list[Change] = []
            if whole := sorted({node for node, _ in (*strays, *made.result)}):
                contacts = view.apply(taken.changes).contacts
                again = [Soft(replace(contacts[node], version=0)) for node in whole if node in contacts]
            changes = (*taken.changes, *again, *made.changes)
            return Outcome(changes, (*taken.events, *made.events), made.result)

        def after(done: Any) -> None:
            self._polls.over(zone, question, self.clock.now())
            if done.exception() is not None:
                log.error("the report of zone %s was not taken: %r", zone, done.exception())
            elif done.result() is not None:  # it answered
                self._tell_roster(zone, told)
                for node, machine in strays:
                    self._send_away(node, machine)
                for node, image in done.result():
                    self._forget(node, image)
            self.wake()

        self.journal.submit(verb).add_done_callback(after)

    def _tell_roster(self, zone: str, told: Mapping[str, Any]) -> None:
        """A cluster controller keeps nothing: it is told whom to ask, and whom not to trust, whenever it has started,
        somebody came or went, or a certificate was revoked."""
        view = self.journal.view
        revoked = sorted(map(str, self.settings.revoked()))
        roster = (str(told.get("start_id") or ""), view.roster_version, *revoked)
        if told.get("roster") and self._polls.told(zone) == roster:
            return
        nodes = sorted(n.id for n in view.nodes.values() if n.zone == zone and n.asked)

        def confirmed(answer: Answer) -> None:
            if answer.error is not None:
                return  # the next report says that it still has none
            self._polls.confirmed(zone, roster)
            self.wake()

        self._carrier.call(
            object_name(CLUSTER, zone), "roster", {"nodes": nodes, "revoked": revoked}, confirmed
        )

    # -------------------------------------------------------------------------------------------- telling nodes
    def _tell(self, actions: Sequence[reconcile.Tell]) -> Micros | None:
        """All of them in one commit, then each node by itself.  The answer: when the first may be told again."""

        def verb(view: View, now: Micros) -> Outcome:
            marked = [reconcile.mark_told(view, action, now) for action in actions]
            return Outcome(tuple(c for one in marked for c in one.changes), result=[m.result for m in marked])

        told: list[tuple[Instance, ...]] = self.journal.do(verb)
        for action, rows in zip(actions, told, strict=True):
            if rows:
                self._tell_node(action, rows)
        return min((row.next_try for rows in told for row in rows), default=None)

    def _tell_node(self, action: reconcile.Tell, rows: Sequence[Instance]) -> None:
        zone = action.node.partition("/")[0]
        args: dict[str, Any] = {"node": action.node}
        if action.method == "ensure":
            view, now = self.journal.view, self.clock.now()
            specs = [machine_spec(view, self.settings.blobs, r, now, self.clock.wall()) for r in rows]
            args["specs"] = [pack(s) for s in specs]
        else:
            args["items"] = [
                {"instance_id": r.id, "generation": r.generation, "reboots": r.reboots} for r in rows
            ]
        self._carrier.call(object_name(CLUSTER, zone), action.method, args, self._told(action))

    def _order(self, action: captures.Order) -> None:
        rows: tuple[Capture, ...] = self.journal.do(partial(captures.mark_ordered, action=action))
        if not rows:
            return
        images, wall = self.journal.view.images, self.clock.wall()
        orders = [self.settings.blobs.capture_order(r, images[r.id].architecture, wall) for r in rows]
        args = {"node": action.node, "orders": [pack(o) for o in orders]}
        tell = reconcile.Tell("capture", action.node, action.ids)
        self._carrier.call(
            object_name(CLUSTER, action.node.partition("/")[0]), "capture", args, self._told(tell)
        )

    @staticmethod
    def _told(action: reconcile.Tell) -> Callable[[Answer], None]:
        """Whether it worked is learnt from the next report; a lost call is repeated when its moment has come."""

        def answered(answer: Answer) -> None:
            if answer.error is not None:
                log.warning("%s to %s: %s", action.method, action.node, answer.error.sentence)

        return answered

    def _move(self, instance_id: str) -> None:
        """Nothing of it was sent anywhere: another node of its zone may have it (the client may have named the zone)."""
        view = self.journal.view
        i = view.instances[instance_id]
        wanted = Launch(i.account_id, i.created_by, i.vm_type, i.size, i.architecture, 1, 1, zone=i.zone)
        try:
            cls = LaunchClass(i.vm_type, i.size, i.architecture, i.zone)
            placed = self._placer.place(wanted, cls, view, 1, 1)
        except Exception as refusal:  # it waits for its node or its deadline
            log.info("%s cannot be placed elsewhere: %s", i.id, refusal)
            return
        if isinstance(placed, Held):
            return
        self.journal.do(lambda v, n: reconcile.mark_moved(v, instance_id, placed.nodes[0], n))

    # --------------------------------------------------------------------------------------------------- strays
    def _strays(self, told: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Machines that a node still has although their end is on record (it was fenced, or away for long).  Only a
        recorded end makes a node drop something; what nobody has a record of is left alone and named in the log."""
        found: list[tuple[str, dict[str, Any]]] = []
        view = self.journal.view
        for node_id, entry in (told.get("nodes") or {}).items():
            report: NodeReport | None = entry["report"]
            for m in report.machines if report is not None else ():
                row = view.instances.get(m.instance_id)
                if m.seen == Seen.ABSENT or (row is not None and row.ended_at is None):
                    continue
                row = row or self.store.one(Instance, m.instance_id)
                if row is None or row.ended_at is None or row.node != node_id:
                    log.warning("%s has %s, of which there is no record: left alone", node_id, m.instance_id)
                    continue
                item = {"instance_id": m.instance_id, "generation": max(m.generation, row.generation)}
                found.append((node_id, {**item, "keep_disk": row.reason_code == FENCED}))
        return found

    def _forget(self, node: str, image: str) -> None:
        """A capture that is over.  The next report of that node is asked for whole: whether it did is seen there."""
        zone, args = node.partition("/")[0], {"node": node, "images": [image]}
        self._carrier.call(object_name(CLUSTER, zone), "forget_captures", args, lambda answer: None)

    def _send_away(self, node: str, machine: dict[str, Any]) -> None:
        zone = node.partition("/")[0]
        args = {"node": node, "items": [machine]}
        self._carrier.call(object_name(CLUSTER, zone), "absent", args, lambda answer: None)


def _foreseen(row: object, now: Micros) -> bool:
    """What a step itself writes before it calls: nothing is to be done for it before the moment that the step said."""
    return type(row) is Instance and row.attempts > 0 and row.next_try > now


def open_view(store: Store, now: Micros) -> View:
    """The view as the disk says: made once, at start."""

    return View().apply(Put(row) for row in store.rows(now - lifecycle.VISIBLE_AFTER_END))
