"""What a node controller does: one job at a time per instance, handed to the carrier, until its record is settled.

The middle of three layers (state ◄── work ◄── service).  `_pursue` looks at the record alone, so a first attempt, a
repetition, a retry and a restart of the daemon all take the same path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from euca_rpc.carrier import Answer
from euca_rpc.clock import SECOND, Micros, moment
from euca_rpc.errors import EucaError
from euca_rpc.node.machine import Superseded, prepare
from euca_rpc.node.observed import left_over, see
from euca_rpc.node.state import NodeState
from euca_rpc.types import End, Intent, Seen

RETRY = 5 * SECOND
# between two pokes: machines that start together are told of together, and a report tells of all machines, so while
# many are under way it is made less often
GAP = SECOND // 50
FEW = 8
LONG_GAP = SECOND // 10
CURABLE = ("unreachable", "unavailable")


class NodeWork(NodeState):
    def step(self) -> Micros | None:
        """What is due: a look after a hint, left-over work, attempts to repeat, tombstones to forget."""
        if self._hint or not self._looked:
            self._hint = False
            try:
                self._look()
            except EucaError:
                self._hint = True
                return self._clock.now() + RETRY
        with self._lock:
            wait = self._told_at + (GAP if len(self._open) < FEW else LONG_GAP) - self._clock.monotonic()
            left = [*self._open, *sorted(self._removing)]
            self._forget_old()
        for instance_id in left:
            self._pursue(instance_id)
        capture_due = self._captures.step()
        if self._unpoked and wait <= 0:
            self._unpoked, self._told_at = False, self._clock.monotonic()
            self._poke()
        with self._lock:
            due = [*self._later.values(), *([] if capture_due is None else [capture_due])]
        if self._unpoked:
            due.append(self._clock.now() + wait)
        return min(due, default=None)

    def _pursue(self, instance_id: str) -> None:
        """Do what is left to do for this instance, unless it is being done or was tried a moment ago."""
        with self._lock:
            if self._busy.get(instance_id) or self._later.get(instance_id, 0) > self._clock.now():
                return
            self._later.pop(instance_id, None)
            record = self._machines.get(instance_id)
            job: Callable[[], Any]
            if instance_id in self._removing:
                job = lambda: self._remove(instance_id)
            elif (
                record is None or record.settled or not self._looked or left_over(record, self._facts.boot_id)
            ):
                return
            elif record.want == Intent.STOPPED:
                job = lambda: self._stop(instance_id, record.generation)
            else:
                job = lambda: self._run(instance_id, record.generation)
            self._hand_over(instance_id, job, self._after)

    def _hand_over(
        self, instance_id: str, job: Callable[[], Any], after: Callable[[str, EucaError | None], None]
    ) -> None:
        """``job`` begins when all that is recorded now is durable."""
        self._busy[instance_id] = self._busy.get(instance_id, 0) + 1
        recorded = self._records.position

        def settled() -> Any:
            self._records.settle(recorded)
            return job()

        def answered(answer: Answer) -> None:
            with self._lock:
                self._busy[instance_id] = max(0, self._busy.get(instance_id, 0) - 1)
                if not self._busy[instance_id]:
                    del self._busy[instance_id]
                after(instance_id, answer.error)
            self._pursue(instance_id)  # something newer may have been recorded meanwhile
            self.wake()

        self._carrier.run(instance_id, settled, answered)

    # ------------------------------------------------------------------------------------------------ the jobs
    def _run(self, instance_id: str, generation: int) -> None:
        record = self._wanted(instance_id, generation)
        if record is None:
            return
        mark = self._mark(instance_id, generation)
        if record.started:  # asked before the daemon went away: it may run, or have ended
            for domain in self._hypervisor.domains():
                if domain.mark == mark:
                    with self._lock:
                        seen = see(record, domain, self._hypervisor.facts().boot_id, self._clock.now())
                        self._save(replace(seen, settled=True))
                    return
        elif generation > 1:
            self._hypervisor.stop(replace(mark, generation=generation - 1))
        folder = self._records.folder(instance_id)
        try:
            plan = prepare(
                record.spec,
                mark,
                folder,
                self._disks,
                self._network,
                lambda: self._wanted(instance_id, generation) is not None,
                self._crash,
            )
        except Superseded:
            return
        boot_id = self._hypervisor.facts().boot_id
        with self._lock:
            record = self._wanted(instance_id, generation)
            if record is None:
                return
            self._save(replace(record, started=True, boot_id=boot_id))
        self._records.settle()  # machines that start together share it
        self._crash("start-recorded")
        self._hypervisor.start(plan)
        self._crash("started")
        addresses = self._network.observe(record.spec)
        with self._lock:
            record = self._machines[instance_id]
            self._save(
                replace(
                    record,
                    seen=Seen.RUNNING,
                    end="",
                    detail="",
                    settled=record.want == Intent.RUNNING,
                    private_address=addresses.private,
                    public_address=addresses.public,
                    since=self._clock.now(),
                )
            )

    def _stop(self, instance_id: str, generation: int) -> None:
        self._hypervisor.stop(self._mark(instance_id, generation))
        self._crash("stopped")
        with self._lock:
            record = self._machines.get(instance_id)
            if record is None or record.want != Intent.STOPPED or record.generation != generation:
                return
            known = record.seen == Seen.STOPPED and record.end != ""  # it had ended before: that reason stays
            record = replace(record, settled=True, since=record.since if known else self._clock.now())
            if self._disks.root(self._records.folder(instance_id)) is None:
                record = replace(record, seen=Seen.FAILED, detail="It was stopped before it had a disk.")
            elif not known:
                record = replace(record, seen=Seen.STOPPED, end=End.ASKED, detail="")
            self._save(record)

    def _remove(self, instance_id: str) -> None:
        with self._lock:
            tombstone = self._tombstones[instance_id]
        self._records.settle()  # it may be a newer one than that of who handed this over
        self._hypervisor.stop(self._mark(instance_id, tombstone.generation))
        self._crash("undefined")
        self._network.absent(instance_id)
        self._records.remove(tombstone)
        self._crash("deleted")
        with self._lock:
            self._drop(instance_id)
            if self._tombstones[instance_id] == tombstone:
                self._removing.discard(instance_id)

    # --------------------------------------------------------------------------------------- after a job
    def _after(self, instance_id: str, error: EucaError | None) -> None:
        record, removing = self._machines.get(instance_id), instance_id in self._removing
        if error is None or not (removing or (record is not None and not record.settled)):
            return
        if (
            record is not None
            and not removing
            and record.want == Intent.RUNNING
            and error.symbol not in CURABLE
        ):
            self._later[instance_id] = self._clock.now() + RETRY  # if even that cannot be written
            self._fail(instance_id, record.generation, error.sentence)
            if self._machines[instance_id].settled:  # written: nothing is left to come back for
                self._later.pop(instance_id, None)
            return
        self._later[instance_id] = self._clock.now() + RETRY
        if record is not None and record.detail != error.sentence:
            self._try_save(replace(record, detail=error.sentence))

    def _after_reset(self, instance_id: str, error: EucaError | None) -> None:
        record = self._machines.get(instance_id)
        if error is not None and record is not None:
            at = moment(self._clock.now())
            self._try_save(
                replace(record, detail=f"Reset {record.reboots} asked at {at} failed: {error.sentence}")
            )

    def _fail(self, instance_id: str, generation: int, sentence: str) -> None:
        record = self._machines.get(instance_id)
        if record is not None and record.generation == generation:
            now = self._clock.now()
            self._try_save(replace(record, seen=Seen.FAILED, detail=sentence, settled=True, since=now))
