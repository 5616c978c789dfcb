"""Whose turn it is: launches that wait are asked about again, outside of any transaction.

    AskAgain(ids) ─► arrange: the whole line as one batch, if the policy in force for the cloud does that
                     └► those that got places: the other policies' admit ─► lease ─► waiting.place
                 ─► the others, one after another: admit ─► place ─► lease ─► waiting.place │ still │ refuse

The transaction checks room again (`waiting.place`): a conflict leaves the launch in the line, to be asked at the next
step.  A policy that fails does not end what waits: it waits on, and is asked again in a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Protocol

from euca_rpc.clock import MINUTE, Clock, Micros
from euca_rpc.cloud import launch, waiting
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.arranging import launch_class
from euca_rpc.policy.values import Granted, Held, Launch, LaunchClass, Placement, Wait

log = logging.getLogger("euca.cloud")

AGAIN: Micros = MINUTE  # after a policy failed, or had no place for a launch that it lets in


class Placer(Protocol):
    """The policies (`placement.EnginePlacer`)."""

    def place(
        self,
        wanted: Launch,
        cls: LaunchClass,
        view: View,
        count_min: int,
        count_max: int,
        passed: Collection[str] = (),
    ) -> Placement | Held:
        """Admit and place; who holds it; or refused, with reasons per target."""
        ...

    def lease(self, wanted: Launch, view: View) -> Granted | None:
        """How long its machines may run; None: as long as they are wanted."""
        ...

    def admit(self, wanted: Launch, view: View, passed: Collection[str] = ()) -> Held | None:
        """Who holds it; refused as `place` does."""
        ...

    def arranger(self, view: View) -> str:
        """The policy that places whole batches, if the one in force for the cloud does."""
        ...

    def arrange(self, launches: Sequence[Launch], view: View) -> list[tuple[str, ...]] | None:
        """Nodes for each; None: no opinion."""
        ...


class Turns:
    def __init__(self, placer: Placer, journal: Journal, clock: Clock, pool: launch.AddressPool) -> None:
        self._placer, self._journal, self._clock, self._pool = placer, journal, clock, pool
        self._known: tuple[object, ...] = ()
        self._due: Micros | None = None

    def decide(self, view: View, now: Micros) -> tuple[list[waiting.Action], Micros | None]:
        """`waiting.decide`, which looks at all who wait; not again before something of theirs has changed."""
        if not view.waiting_rows:
            return [], None
        known = (view.waiting_rows, view.asked_again, view.opened)
        if self._same(known) and (self._due is None or now < self._due):
            return [], self._due
        actions, due = waiting.decide(view, now)
        self._known, self._due = (() if actions else known), due
        return actions, due

    def _same(self, known: tuple[object, ...]) -> bool:
        return len(self._known) > 0 and all(a is b for a, b in zip(known, self._known, strict=True))

    def take(self, ids: Sequence[str]) -> None:
        """Ask about them, and about the whole line if a policy places batches.  Those whose room others took meanwhile
        stay as they were: they are to be asked again at once."""
        placed: set[str] = set()
        view = self._journal.view
        policy = self._placer.arranger(view)
        arranged = self._arrange(view, policy, placed) if policy else False
        for id in ids:
            if id not in placed:
                self._ask(id, policy if arranged else "")

    # ------------------------------------------------------------------------------------------------- a batch
    def _arrange(self, view: View, policy: str, placed: set[str]) -> bool:
        """The line but for those whom another policy holds: whether the policy has an opinion."""
        batch = [
            waits.launch
            for waits in (view.waiting[id] for _, id in view.line)
            if waits.policy in (waiting.NO_ROOM, policy) and not view.waiting_rows[waits.reservation_id].firm
        ]
        said = self._placer.arrange(batch, view)
        if said is None:
            return False
        for wanted, nodes in zip(batch, said, strict=True):
            id = wanted.reservation_id
            if not nodes:
                continue
            placed.add(id)
            try:
                held = self._placer.admit(wanted, self._journal.view, (policy,))
            except EucaError as refusal:
                self._refused(id, view, refusal)
                continue
            if held is not None:
                self._journal.do(partial(waiting.still, id=id, number=view.number, held=held))
            else:
                self._place(id, wanted, nodes, view)
        return True

    # ---------------------------------------------------------------------------------------------- one by one
    def _ask(self, id: str, arranger: str) -> None:
        """``arranger``: it has just placed whom it wants to, so nobody is placed past it."""
        view = self._journal.view
        row, waits = view.waiting_rows.get(id), view.waiting.get(id)
        if row is None or waits is None:
            return
        wanted = waits.launch
        now = self._clock.now()
        try:
            said: Placement | Held | None
            if arranger and row.policy in (waiting.NO_ROOM, arranger) and row.again > now:
                said = None  # it was in the batch, and nothing else was to be asked yet
            elif arranger:
                said = self._placer.admit(wanted, view, _passed(row.passed))
                said = said or Held(arranger, Wait("It has no place for it yet.", now + AGAIN))
            else:
                cls = launch_class(wanted)
                passed = _passed(row.passed)
                said = self._placer.place(wanted, cls, view, wanted.min_count, wanted.max_count, passed)
        except EucaError as refusal:
            self._refused(id, view, refusal)
            return
        if isinstance(said, Placement):
            self._place(id, wanted, said.nodes, view)
        else:
            self._journal.do(partial(waiting.still, id=id, number=view.number, held=said))

    def _place(self, id: str, wanted: Launch, nodes: Sequence[str], view: View) -> None:
        try:
            lease = self._placer.lease(wanted, view)
            self._journal.do(partial(waiting.place, id=id, nodes=nodes, pool=self._pool, lease=lease))
        except launch.Conflict:
            return
        except EucaError as refusal:
            self._refused(id, view, refusal)

    def _refused(self, id: str, view: View, refusal: EucaError) -> None:
        """For good, if that is what a policy says; no room, or a policy that failed, is no end."""
        until = self._journal.view.waiting_rows[id].until if id in self._journal.view.waiting_rows else 0
        if refusal.symbol == "policy_refused":
            self._journal.do(partial(waiting.refuse, id=id, refusal=refusal))
            return
        if refusal.kind == "capacity":
            held = waiting.no_room(until)
        else:
            log.warning("%s waits on: %s", id, refusal.sentence)
            held = Held(
                str(refusal.facts.get("policy", "")), Wait(refusal.sentence, self._clock.now() + AGAIN)
            )
        self._journal.do(partial(waiting.still, id=id, number=view.number, held=held))


def _passed(policy: str) -> Collection[str]:
    return (policy,) if policy else ()
