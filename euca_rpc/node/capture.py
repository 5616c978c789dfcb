"""Images made from this node's machines.

    order ─► durable record ─► copy of the disk, flattened ─► image store ─► receipt in the record ─► report
                               running: by its hypervisor, at one moment (what a power cut would leave)
                               stopped: by the tools for disks, unless it is started meanwhile

    home/captures/<image id>/capture.json   what was asked and what became of it
    home/captures/<image id>/disk           the finished copy, until it is stored; unfinished it is disk.new

Each step may be run twice: a daemon that was killed goes on with a finished copy and throws an unfinished one away.  A
copy does not stand in the way of its machine: one that is stopped, started or terminated while it is copied is stopped,
started or terminated at once, and the copy is begun again, or has failed.  `forget` is the cloud's: what was forgotten is
remembered as such for a while, so that a late order does not begin it again.

The lock is the node's.  Work of unknown length is the carrier's.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from euca_rpc.carrier import Answer, Carrier
from euca_rpc.clock import HOUR, SECOND, Clock, Micros
from euca_rpc.errors import EucaError
from euca_rpc.machines import CaptureOrder, CaptureReport
from euca_rpc.node.hypervisor import Hypervisor, Mark
from euca_rpc.node.log import sync_folder
from euca_rpc.node.machine import Crash, Disks, Superseded, finish_disk
from euca_rpc.node.record import Record
from euca_rpc.types import Intent, Seen

log = logging.getLogger(__name__)

RETRY = 5 * SECOND
CURABLE = ("unreachable", "unavailable")
KEEP_FORGOTTEN = 8 * 24 * HOUR  # longer than any order can be late
WORKING, DONE, FAILED, FORGOTTEN = "working", "done", "failed", "forgotten"


class Store(Protocol):
    def __call__(self, order: CaptureOrder, file: Path, format: str) -> str:
        """Put the file into the image store as what the order says; the receipt.  Blocking; may be repeated."""
        ...


def no_store(order: CaptureOrder, file: Path, format: str) -> str:
    raise EucaError("unsupported", "This node was given no image store to put images into.")


@dataclass(frozen=True, slots=True)
class Machines:
    """What of the node and its machines has to be known here."""

    machine: Callable[[str], Record | None]  # None: it is not here, or is being removed
    mark: Callable[[str, int], Mark]
    folder: Callable[[str], Path]
    write: Callable[[Path, Mapping[str, Any]], None]  # a small file, durably


@dataclass(frozen=True, slots=True)
class Capture:
    """One record."""

    order: CaptureOrder
    state: str = WORKING
    detail: str = ""
    receipt: str = ""
    since: Micros = 0


class Captures:
    def __init__(
        self,
        home: Path,
        machines: Machines,
        hypervisor: Hypervisor,
        disks: Disks,
        store: Store,
        carrier: Carrier,
        clock: Clock,
        lock: AbstractContextManager[Any],
        changed: Callable[[], None],
        crash: Crash,
    ) -> None:
        self._home = home / "captures"
        self._home.mkdir(parents=True, exist_ok=True)
        self._machines, self._hypervisor, self._disks, self._store = machines, hypervisor, disks, store
        self._carrier, self._clock, self._lock = carrier, clock, lock
        self._changed, self._crash = changed, crash
        self._records = {path.parent.name: _load(path) for path in self._home.glob("*/capture.json")}
        self._busy: set[str] = set()
        self._later: dict[str, Micros] = {}
        for image_id, record in self._records.items():
            self._tidy(image_id, keep_copy=record.state == WORKING)

    # ------------------------------------------------------------------------------------------------- asked
    def order(self, order: CaptureOrder) -> None:
        with self._lock:
            if order.image_id not in self._records:
                self._save(Capture(order, since=self._clock.now()))
                self._crash("capture-accepted")
        self.pursue(order.image_id)

    def forget(self, image_id: str) -> None:
        with self._lock:
            record = self._records.get(image_id) or Capture(CaptureOrder(image_id, "", 0, "", 0, ""))
            if record.state != FORGOTTEN:
                self._save(Capture(replace(record.order, ticket=""), FORGOTTEN, since=self._clock.now()))
            if image_id not in self._busy:  # else when that has ended
                self._tidy(image_id)

    def report(self) -> tuple[CaptureReport, ...]:
        return tuple(
            CaptureReport(image_id, r.state, r.detail, r.receipt)
            for image_id, r in self._records.items()
            if r.state != FORGOTTEN
        )

    def step(self) -> Micros | None:
        """Go on with all that is not done; the moment of the next attempt."""
        with self._lock:
            horizon = self._clock.now() - KEEP_FORGOTTEN
            for image_id in [
                i for i, r in self._records.items() if r.state == FORGOTTEN and r.since < horizon
            ]:
                shutil.rmtree(self._home / image_id)
                del self._records[image_id]
            working = [i for i, r in self._records.items() if r.state == WORKING]
        for image_id in working:
            self.pursue(image_id)
        with self._lock:
            return min(self._later.values(), default=None)

    # ---------------------------------------------------------------------------------------------- going on
    def pursue(self, image_id: str) -> None:
        """Do what is left to do for this image, unless it is being done or was tried a moment ago."""
        with self._lock:
            record = self._records[image_id]
            if record.state != WORKING or image_id in self._busy:
                return
            if self._later.get(image_id, 0) > self._clock.now():
                return
            self._later.pop(image_id, None)
            order = record.order
            if (self._home / image_id / "disk").exists():
                self._hand_over(image_id, image_id, lambda: self._put(order))
                return
            machine = self._machines.machine(order.instance_id)
            if machine is None:
                self._fail(
                    image_id,
                    f"{order.instance_id} was terminated before its disk was copied, or never was here.",
                )
            elif machine.seen == Seen.RUNNING and machine.want == Intent.RUNNING:
                self._hand_over(image_id, image_id, lambda: self._copy_running(order, machine))
            elif machine.seen == Seen.STOPPED:  # in the machine's own lane: nothing starts it meanwhile
                self._hand_over(image_id, order.instance_id, lambda: self._copy_stopped(order, machine))
            elif machine.seen == Seen.FAILED:
                self._fail(image_id, f"{order.instance_id} has failed here: {machine.detail}")
            else:
                self._later[image_id] = self._clock.now() + RETRY

    def _hand_over(self, image_id: str, lane: str, job: Callable[[], Any]) -> None:
        self._busy.add(image_id)

        def answered(answer: Answer) -> None:
            with self._lock:
                if image_id not in self._busy:
                    return  # an answer delivered twice
                self._busy.discard(image_id)
                self._after(image_id, answer.error)
            self.pursue(image_id)
            self._changed()

        self._carrier.run(lane, job, answered)

    def _after(self, image_id: str, error: EucaError | None) -> None:
        record = self._records[image_id]
        if record.state != WORKING:
            self._tidy(image_id)  # done, or forgotten meanwhile
        elif error is not None and error.symbol in CURABLE:
            self._later[image_id] = self._clock.now() + RETRY
            if record.detail != error.sentence:
                self._try_save(replace(record, detail=error.sentence))
        elif error is not None:
            self._fail(image_id, error.sentence)

    def _fail(self, image_id: str, sentence: str) -> None:
        record = self._records[image_id]
        if self._try_save(replace(record, state=FAILED, detail=sentence, since=self._clock.now())):
            self._tidy(image_id)

    # ------------------------------------------------------------------------------------------------ the jobs
    def _copy_running(self, order: CaptureOrder, machine: Record) -> None:
        def wanted() -> bool:
            with self._lock:
                now = self._machines.machine(order.instance_id)
                same = now is not None and now.generation == machine.generation
                return same and self._is_working(order.image_id)

        mark = self._machines.mark(order.instance_id, machine.generation)
        self._copy(order, machine, wanted, lambda to: self._hypervisor.copy_root(mark, to, wanted))

    def _copy_stopped(self, order: CaptureOrder, machine: Record) -> None:
        def wanted() -> bool:
            with self._lock:
                return self._machines.machine(order.instance_id) == machine and self._is_working(
                    order.image_id
                )

        self._copy(order, machine, wanted, None)

    def _copy(
        self,
        order: CaptureOrder,
        machine: Record,
        wanted: Callable[[], bool],
        by_hypervisor: Callable[[Path], None] | None,
    ) -> None:
        if not wanted():  # it waited for its turn
            return
        folder = self._home / order.image_id
        unfinished = folder / "disk.new"
        unfinished.unlink(missing_ok=True)
        try:
            source = self._machines.folder(order.instance_id)
            self._disks.copy_root(machine.spec, source, unfinished, wanted, by_hypervisor)
            self._crash("copied")
            finish_disk(unfinished, folder / "disk")
        except Superseded:
            unfinished.unlink(missing_ok=True)
            raise EucaError(
                "unavailable", f"{order.instance_id} changed while its disk was copied; it is copied again."
            ) from None
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise EucaError(
                "unavailable", f"The copy of {order.instance_id} in {folder} failed: {error.strerror}."
            ) from error
        except EucaError:
            unfinished.unlink(missing_ok=True)
            raise
        self._crash("copy-finished")

    def _put(self, order: CaptureOrder) -> None:
        receipt = self._store(order, self._home / order.image_id / "disk", self._disks.format)
        self._crash("stored")
        with self._lock:
            record = self._records[order.image_id]
            if record.state == WORKING:
                done = replace(record, state=DONE, detail="", receipt=receipt, since=self._clock.now())
                self._save(done)
        self._crash("capture-done")

    def _is_working(self, image_id: str) -> bool:
        return self._records[image_id].state == WORKING

    # ------------------------------------------------------------------------------------------------- on disk
    def _save(self, record: Capture) -> None:
        folder = self._home / record.order.image_id
        if not folder.exists():
            folder.mkdir(mode=0o700)
            sync_folder(self._home)
        self._machines.write(folder / "capture.json", asdict(record))
        self._records[record.order.image_id] = record

    def _try_save(self, record: Capture) -> bool:
        """If it cannot be written now, it is found out again."""
        try:
            self._save(record)
        except EucaError as error:
            log.warning("%s: %s", record.order.image_id, error.sentence)
            self._later[record.order.image_id] = self._clock.now() + RETRY
            return False
        return True

    def _tidy(self, image_id: str, keep_copy: bool = False) -> None:
        """No copy is left when nobody needs it any more, and never an unfinished one; and nothing to come back for."""
        self._later.pop(image_id, None)
        for name in ("disk.new",) if keep_copy else ("disk.new", "disk"):
            (self._home / image_id / name).unlink(missing_ok=True)


def _load(path: Path) -> Capture:
    values = json.loads(path.read_bytes())
    order = {f.name: values["order"][f.name] for f in fields(CaptureOrder) if f.name in values["order"]}
    known = {f.name: values[f.name] for f in fields(Capture) if f.name in values}
    return Capture(**{**known, "order": CaptureOrder(**order)})
