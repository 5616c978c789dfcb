"""The instances noun: launch, describe, terminate, reboot, stop, start, console.

Reads come from one view; writes are verbs in the journal.  Whoever may not see an instance is told that it does not
exist, and one id that cannot be found refuses the whole request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from operator import attrgetter
from typing import Any

from euca_rpc.carrier import Answer, Carrier
from euca_rpc.clock import Clock, Micros
from euca_rpc.cloud import attributes, launch, leases, lifecycle, pages, waiting
from euca_rpc.cloud.changes import Change, Outcome, Put, event
from euca_rpc.cloud.consoles import Consoles
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.reconcile import reachable, why_unreachable
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.turns import Placer
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.policy.refusal import held
from euca_rpc.policy.values import Granted, Held, Launch, LaunchClass, Placement
from euca_rpc.shown import Console, InstanceStatus, Launched, Page, Transition
from euca_rpc.steps import Steps, waited
from euca_rpc.types import Caller, Event, Instance, Intent, LaunchRequest, Reservation
from euca_rpc.wire.contracts import CLUSTER, object_name


class Instances:
    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        carrier: Carrier,
        placer: Placer,
        pool: launch.AddressPool,
        store: Store,
        longest_wait: Micros = waiting.LONGEST,
    ) -> None:
        self._longest_wait = longest_wait
        self._journal, self._clock, self._ids, self._store = journal, clock, ids, store
        self._carrier, self._placer, self._pool = carrier, placer, pool
        self.consoles = Consoles()

    # ----------------------------------------------------------------------------------------------- launch
    def launch(self, caller: Caller, request: LaunchRequest) -> Launched:
        return waited(self.launching(caller, request))

    def launching(self, caller: Caller, request: LaunchRequest) -> Steps[Launched]:
        try:
            for _ in range(launch.TRIES):
                now = self._clock.now()
                view = self._journal.view
                plan = launch.check(view, caller, request, now)
                if (found := launch.remembered(view, plan)) is not None:
                    return self._launched(found)
                count = launch.quota_left(view, plan)
                wanted = plan.launch
                placed = self._placed(view, wanted, plan.launch_class, count, now)
                if isinstance(placed, Held):
                    verb = waiting.queue(plan, count, self._ids, placed, self._longest_wait)
                else:
                    lease = self._placer.lease(wanted, view)
                    verb = launch.commit_launch(plan, placed.nodes, self._ids, self._pool, lease)
                yield (committed := self._journal.soon(verb))
                try:
                    made = committed.result(0)
                except launch.Conflict:
                    continue
                return self._launched(made)
            raise EucaError(
                "capacity_exhausted",
                f"{request.min_count} × {request.vm_type} asked for; others took the room {launch.TRIES} times while "
                "it was being placed: try again",
            )
        except EucaError as refusal:
            if refusal.kind in ("capacity", "limit", "denied", "unavailable"):
                self._remember_refusal(caller, request, refusal)
            raise

    def _placed(
        self, view: View, wanted: Launch, cls: LaunchClass, count: int, now: Micros
    ) -> Placement | Held:
        """Held: it is to wait, because a policy says so, or for room if its user is ready for that."""
        until = now + waiting.limit(wanted, self._longest_wait)
        patient = wanted.wait is not None and until > now and waiting.could_ever(view, wanted)
        if patient and waiting.behind(view, wanted):
            return self._placer.admit(wanted, view) or waiting.no_room(until)
        try:
            placed = self._placer.place(wanted, cls, view, wanted.min_count, count)
        except EucaError as refusal:
            if refusal.kind == "capacity" and patient:
                return waiting.no_room(until)
            raise
        if isinstance(placed, Held) and until <= now:
            raise held(placed)
        return placed

    def _launched(self, reservation: Reservation) -> Launched:
        view = self._journal.view
        rows = (view.instances.get(i) for i in reservation.instance_ids)
        return Launched(reservation, tuple(status(view, row) for row in rows if row is not None))

    def _remember_refusal(self, caller: Caller, request: LaunchRequest, refusal: EucaError) -> None:
        """For `euca explain`; nobody waits for it."""
        facts = {"asked": f"{request.min_count} × {request.vm_type}", "zone": request.zone or "any"}
        facts |= {"symbol": refusal.symbol, "reason": refusal.sentence, **_plain(refusal.facts)}
        self._journal.submit(
            lambda view, now: Outcome(
                events=(event("launch.refused", caller.request_id, now, caller, facts=facts),)
            )
        )

    # --------------------------------------------------------------------------------------------- describe
    def describe(
        self, caller: Caller, ids: Sequence[str] = ()
    ) -> Iterable[tuple[Reservation, tuple[InstanceStatus, ...]]]:
        view = self._journal.view
        if ids:
            wanted = {row.id for row in found(view, caller, ids)}
            reservations: Iterable[Reservation] = {
                view.instances[i].reservation_id: view.reservations[view.instances[i].reservation_id]
                for i in wanted
            }.values()
        else:
            wanted = None
            reservations = (
                view.reservations.values()
                if caller.is_admin
                else view.by_account.get(caller.account_id, {}).values()
            )
        rows, words, until = view.instances, view.tags, view.leases
        answers = cache(lambda node: reachable(view, node))  # nodes are few, machines many
        for reservation in sorted(reservations, key=attrgetter("created_at", "id")):
            members = []
            for i in reservation.instance_ids:  # no generator: most reservations have one machine
                row = rows.get(i)
                if row is not None and (wanted is None or i in wanted):
                    lease = leases.of(view, row) if until else None
                    state = lifecycle.state(row)
                    members.append(InstanceStatus(row, state, answers(row.node), words.get(i, ()), lease))
            if members:
                yield reservation, tuple(members)

    def page(
        self, caller: Caller, search: str = "", state: str = "", after: str = "", limit: int = 50
    ) -> Page[InstanceStatus]:
        view = self._journal.view
        rows = pages.instances(
            self._store,
            ended_since=self._clock.now() - lifecycle.VISIBLE_AFTER_END,
            account_id="" if caller.is_admin else caller.account_id,
            search=search,
            users=[id for name, id in view.user_names.items() if search in name] if search else (),
            state=state,
            after=after,
            limit=pages.size_of(limit) + 1,
        )
        more = len(rows) > limit
        rows = rows[:limit]
        cursor = pages.cursor(rows[-1].launched_at, rows[-1].id) if more else ""
        return Page(tuple(status(view, row) for row in rows), cursor)

    def console(self, caller: Caller, id: str) -> Future[Console]:
        view = self._journal.view
        (row,) = found(view, caller, [id])
        if not row.attempted:
            nothing: Future[Console] = Future()
            nothing.set_result(Console(row.id, b"", self._clock.now()))
            return nothing
        if not reachable(view, row.node):
            raise EucaError(
                "unreachable", f"the console of {row.id} is on {row.node}, {why_unreachable(view, row.node)}"
            )
        future = self.consoles.open(row.id, self._clock.now())

        def arrived(answer: Answer) -> None:
            told = answer.value
            self.consoles.close(future, answer.error or Console(row.id, bytes(told["text"]), int(told["at"])))

        args = {"node": row.node, "instance_id": row.id}
        self._carrier.call(object_name(CLUSTER, row.zone), "console", args, arrived)
        return future

    def modify(self, caller: Caller, id: str, attribute: str, value: str | bytes | bool) -> InstanceStatus:
        (row,) = found(self._journal.view, caller, [id])
        new: Instance = self._journal.do(attributes.modify(caller, row, attribute, value))
        return status(self._journal.view, new)

    def extend(self, caller: Caller, id: str, until: Micros) -> InstanceStatus:
        def verb(view: View, now: Micros) -> Outcome:
            (row,) = found(view, caller, [id])
            return leases.extend(view, now, caller, row, until)

        self._journal.do(verb)
        return status(self._journal.view, self._journal.view.instances[id])

    # ---------------------------------------------------------------------------------------- what is wanted
    def terminate(self, caller: Caller, ids: Sequence[str]) -> list[Transition]:
        def change(row: Instance, now: Micros) -> Instance:
            if row.protected and row.intent is not Intent.TERMINATED:
                raise EucaError(
                    "protected",
                    f"{row.id} is protected from termination: take disableApiTermination back first",
                )
            return lifecycle.want_terminated(row, now, "Client.UserInitiatedShutdown", "User initiated")

        return self._each(caller, ids, "instance.terminate", change)

    def stop(self, caller: Caller, ids: Sequence[str]) -> list[Transition]:
        def change(row: Instance, now: Micros) -> Instance:
            if lifecycle.waits(row):
                raise _no_node(row, "stopped")
            if row.intent is Intent.TERMINATED or lifecycle.state(row) == lifecycle.PENDING:
                raise _conflict(row, "stopped")  # a pending one may not have a disk yet that it could keep
            return lifecycle.want_stopped(row, now, "Client.UserInitiatedShutdown", "User initiated")

        return self._each(caller, ids, "instance.stop", change)

    def start(self, caller: Caller, ids: Sequence[str]) -> list[Transition]:
        """On the node that has its disk, if cores and memory are free there now; how long it may run is asked anew."""
        view = self._journal.view
        given = {row.id: self._placer.lease(_again(row), view) for row in found(view, caller, ids)}

        def change(row: Instance, now: Micros) -> Instance:
            if lifecycle.waits(row):
                raise _no_node(row, "started")
            if row.intent is Intent.RUNNING:
                return row
            if lifecycle.state(row) != lifecycle.STOPPED:
                raise _conflict(row, "started")
            return lifecycle.want_started(row, now)

        return self._each(caller, ids, "instance.start", change, given)

    def reboot(self, caller: Caller, ids: Sequence[str]) -> None:
        def change(row: Instance, now: Micros) -> Instance:
            if lifecycle.waits(row):
                raise _no_node(row, "rebooted")
            if row.intent is not Intent.RUNNING:
                raise _conflict(row, "rebooted")
            return lifecycle.want_rebooted(row, now) if lifecycle.state(row) == lifecycle.RUNNING else row

        self._each(caller, ids, "instance.reboot", change)

    def _each(
        self,
        caller: Caller,
        ids: Sequence[str],
        kind: str,
        change: Callable[[Instance, Micros], Instance],
        started: Mapping[str, Granted | None] | None = None,
    ) -> list[Transition]:
        """All or none, in one transaction.  ``started``: they need room again, and the lease that each is given."""

        def verb(view: View, now: Micros) -> Outcome:
            changes: list[Change] = []
            events: list[Event] = []
            moves: list[Transition] = []
            draft = view
            for row in found(view, caller, ids):
                new = change(row, now)
                moves.append(Transition(row.id, lifecycle.state(row), lifecycle.state(new)))
                if new is row:
                    continue
                if started is not None:
                    _fits_again(draft, row, new)
                    if (lease := leases.renewed(view, row.id, started[row.id])) is not None:
                        changes.append(lease)
                draft = draft.apply([Put(new)])
                changes.append(Put(new))
                events.append(
                    event(kind, row.id, now, caller, row.account_id, {"state": lifecycle.state(new)})
                )
            return Outcome(tuple(changes), tuple(events), moves)

        transitions: list[Transition] = self._journal.do(verb)
        return transitions


def _again(i: Instance) -> Launch:
    """A machine that is started again, as a launch of one."""
    return Launch(
        i.account_id, i.created_by, i.vm_type, i.size, i.architecture, 1, 1, i.zone, i.service_class
    )


def _fits_again(view: View, old: Instance, new: Instance) -> None:
    target = view.targets.get(old.node)
    need = lifecycle.claim(new) - lifecycle.claim(old)
    if target is None or not target.usable:
        raise EucaError(
            "capacity_exhausted", f"the disk of {old.id} is on {old.node}, {why_unreachable(view, old.node)}"
        )
    if not need.fits(target.room):
        raise EucaError(
            "capacity_exhausted",
            f"starting {old.id} needs {need.cores} cores and {need.memory_mb} MB on {old.node}, where its disk is; free "
            f"there are {target.room.cores} and {target.room.memory_mb}: try again later",
        )


def _conflict(row: Instance, wanted: str) -> EucaError:
    return EucaError("state_conflict", f"{row.id} is {lifecycle.state(row)} and cannot be {wanted}")


def _no_node(row: Instance, wanted: str) -> EucaError:
    return EucaError(
        "state_conflict",
        f"{row.id} has not been placed on a node yet and cannot be {wanted}: {row.reason} It can only be terminated.",
    )


def status(view: View, row: Instance) -> InstanceStatus:
    words, lease = view.tags.get(row.id, ()), leases.of(view, row)
    return InstanceStatus(row, lifecycle.state(row), reachable(view, row.node), words, lease)


def found(view: View, caller: Caller, ids: Sequence[str]) -> list[Instance]:
    rows = []
    for instance_id in dict.fromkeys(ids):
        row = view.instances.get(instance_id)
        if row is None or not (caller.is_admin or row.account_id == caller.account_id):
            raise EucaError("instance_not_found", f"the instance id {instance_id!r} does not exist")
        rows.append(row)
    return rows


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in facts.items()
        if k in ("ruled_out", "asked", "room", "scope", "what", "limit", "held")
    }
