"""The node controller: makes its host agree with what was asked, and says what it sees.

    ensure · stop · absent · reboot ──► durable record ──► answer          (quick; nothing happens before it is durable)
                                              │
                                        carrier.run(instance, job)         (one job at a time per instance)
                                              │
                                    make disk · start · stop · remove ──► record ──► poke
    report ──► look at the hypervisor ──► all machines, or those that changed since the version that the asker holds

Every request only changes the record (here); `work` then looks at the record and does what is left to do for it, so a
repeated, late or reordered request, a retry and a restart of the daemon all take the same path; `state` holds what is
known and makes the report.  What they promise:

* a generation is started at most once, and never at or below a tombstone; the mark "start asked" is durable before
  the hypervisor is asked, and after a restart of the daemon a machine that runs is adopted, not started;
* what was accepted before the host lost power, and not started then, waits to be asked again: the host may have been
  given up meanwhile;
* a machine that ended is reported with the reason and left alone: only a new generation runs again;
* nothing is removed but what a tombstone names, and the tombstone is durable first;
* a reset is done at most once per value of the reboot counter: the counter is durable before the reset, so a daemon
  killed in between leaves the machine un-reset and says nothing false;
* domains without our mark, or with another node's, are counted and never touched.

Failures that another attempt may cure (`unreachable`, `unavailable`) are tried again every 5 s until something newer
is asked; all others make the machine FAILED with the reason.  The deadline is the cloud's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from euca_rpc.carrier import Answer
from euca_rpc.clock import moment
from euca_rpc.deltas import Told
from euca_rpc.errors import EucaError
from euca_rpc.ids import INSTANCE, MACHINE_IMAGE, parse_resource_id
from euca_rpc.machines import CaptureOrder, MachineSpec, NodeReport
from euca_rpc.node.machine import console_tail, no_disk_sentence
from euca_rpc.node.observed import held, left_over, shortage
from euca_rpc.node.record import Record, Tombstone
from euca_rpc.node.work import NodeWork
from euca_rpc.types import Intent, Seen, Size
from euca_rpc.wire.codec import pack, unpack
from euca_rpc.wire.contracts import CONTRACT, NODE, OLDEST

log = logging.getLogger(__name__)


class NodeService(NodeWork):
    def hello(self) -> dict[str, Any]:
        return {
            "role": NODE,
            "contract": [OLDEST, CONTRACT],
            "boot_id": self._facts.boot_id,
            "node": self._node_id,
        }

    def report(self, known: int | None = None, deltas: bool = False) -> dict[str, Any]:
        """All machines, after a fresh look; with ``deltas``, those that are other than at the version ``known``
        (`deltas`).  Raises ``unreachable`` when the hypervisor does not answer."""
        self._look()
        with self._lock:
            report = self._compose()
            told = self._told = self._tell(report)
        self._records.settle()
        if known == report.version:
            return {"same": report.version}
        packed: dict[str, Any] = pack(replace(report, machines=()))
        return packed | told.words(known, deltas) | {"now": self._clock.now()}

    def _tell(self, report: NodeReport) -> Told:
        """What is said of a machine in the same words as last time is not packed again."""
        before, told = self._packed, self._told
        if told is not None and told.version == report.version:
            return told
        after, words = {}, {}
        for machine in report.machines:
            id = machine.instance_id
            known = before.get(id)
            if known is None or known[0] is not machine:
                known = machine, pack(machine)
            after[id], words[id] = known, known[1]
        self._packed = after
        return told.next(report.version, words) if told is not None else Told.whole(report.version, words)

    def ensure(self, specs: list[Any]) -> dict[str, Any]:
        wanted = [unpack(MachineSpec, spec) for spec in specs]
        if not self._looked:  # without a look, what foreign domains hold is unknown
            self._look()
        return self._each([(spec.instance_id, spec.generation, spec) for spec in wanted], self._accept)

    def stop(self, items: list[Any]) -> dict[str, Any]:
        return self._each([(*_item(item), item) for item in items], self._accept_stop)

    def absent(self, items: list[Any]) -> dict[str, Any]:
        return self._each([(*_item(item), item) for item in items], self._accept_absent)

    def reboot(self, items: list[Any]) -> dict[str, Any]:
        return self._each([(*_item(item), item) for item in items], self._accept_reboot)

    def capture(self, orders: list[Any]) -> dict[str, Any]:
        """Make images of machines; what becomes of them the report tells until they are to be forgotten."""
        wanted = [unpack(CaptureOrder, order) for order in orders]
        for order in wanted:
            _image(order.image_id)
            _instance(order.instance_id)
        for order in wanted:
            self._captures.order(order)
        return {"accepted": len(wanted)}

    def forget_captures(self, images: list[Any]) -> dict[str, Any]:
        for image_id in [_image(text) for text in images]:
            self._captures.forget(image_id)
        self._news()
        return {"accepted": len(images)}

    def sleep(self, until: int) -> dict[str, Any]:
        """Put this host to sleep, which it says by falling silent.  Refused while anything is on it, and when the order
        comes too late: by then it may be counted on again."""
        rest = self._rest
        if rest is None:
            raise EucaError(
                "unsupported", f"Node {self._node_id} has no [node] sleep_command in its settings."
            )

        def job() -> None:
            self._may_sleep(until)  # it may have waited for its turn
            rest()

        def over(answer: Answer) -> None:
            if answer.error is not None:
                log.error("this host is not put to sleep: %s", answer.error.sentence)

        self._may_sleep(until)
        self._carrier.run("sleep", job, over)
        return {"accepted": True}

    def _may_sleep(self, until: int) -> None:
        self._look()
        with self._lock:
            held = sorted({*self._machines, *self._removing, *(m.instance_id for m in self._unrecorded)})
            held += [domain.name for domain in self._foreign if domain.running]
        if held:
            raise EucaError(
                "state_conflict",
                f"Node {self._node_id} holds {len(held)} machines ({', '.join(held[:5])}), so it does not sleep.",
            )
        if (now := self._clock.now()) > until:
            raise EucaError(
                "state_conflict",
                f"Node {self._node_id} was to sleep by {moment(until)}, and it is {moment(now)}: the order is too old.",
            )

    def console(self, instance_id: str) -> dict[str, Any]:
        with self._lock:
            if _instance(instance_id) not in self._machines:
                raise EucaError("instance_not_found", f"{instance_id} is not on node {self._node_id}.")
        return {"text": console_tail(self._records.folder(instance_id)), "at": self._clock.now()}

    # ------------------------------------------------------------------------------------- recording requests
    def _each(
        self, asked: list[tuple[str, int, Any]], accept: Callable[[str, int, Any], None]
    ) -> dict[str, Any]:
        """One refusal does not stop the others: they are told in the answer, and by what the report shows."""
        refused = []
        for instance_id, generation, what in asked:
            try:
                with self._lock:
                    accept(_instance(instance_id), generation, what)
            except EucaError as error:
                refused.append({"instance_id": instance_id, "generation": generation, **error.to_wire()})
        self._records.settle()
        for instance_id, _, _ in asked:
            self._pursue(instance_id)
        return {"accepted": len(asked) - len(refused), "refused": refused}

    def _accept(self, instance_id: str, generation: int, spec: MachineSpec) -> None:
        tombstone, record = self._tombstones.get(instance_id), self._machines.get(instance_id)
        if tombstone is not None and generation <= tombstone.generation:
            raise _old(instance_id, generation, tombstone.generation, "was terminated")
        if instance_id in self._removing:
            raise EucaError(
                "unavailable",
                f"Generation {tombstone.generation if tombstone else 0} of {instance_id} is still being removed here; "
                f"generation {generation} can be asked for when the node reports it absent.",
            )
        if record is not None and generation <= record.generation:
            if generation < record.generation:
                raise _old(instance_id, generation, record.generation, "is here")
            if record.want != Intent.RUNNING:
                raise _old(instance_id, generation, record.generation, "was stopped")
            self._later.pop(instance_id, None)  # asked again: try now
            if left_over(record, self._facts.boot_id):
                self._save(replace(record, boot_id=self._facts.boot_id))
            return
        objection = self._objection(spec, record)
        if objection is not None and record is not None and record.seen in (Seen.RUNNING, Seen.PREPARING):
            raise objection  # what is under way goes on
        self._save(
            Record(
                spec=spec,
                generation=generation,
                reboots=max(spec.reboots, record.reboots if record else 0),
                want=Intent.RUNNING,
                seen=Seen.PREPARING if objection is None else Seen.FAILED,
                settled=objection is not None,
                boot_id=self._facts.boot_id,
                detail="" if objection is None else objection.sentence,
                private_address=spec.private_address,
                public_address=spec.public_address,
                since=self._clock.now(),
            )
        )
        if objection is not None:
            raise objection
        self._crash("accepted")

    def _objection(self, spec: MachineSpec, before: Record | None) -> EucaError | None:
        disk = self._disks.root(self._records.folder(spec.instance_id))
        if not spec.fresh and disk is None:
            return EucaError("state_conflict", no_disk_sentence(spec))
        if spec.fresh and disk is not None and before is not None:
            return EucaError(
                "state_conflict",
                f"Generation {spec.generation} of {spec.instance_id} was asked for with a new disk, but the disk of "
                f"generation {before.generation} is here. It was left as it is.",
            )
        size = Size(spec.cores, spec.memory_mb, spec.disk_gb)
        room = self._offer() - self._taken + (held(before) if before else Size())
        if size.fits(room):
            return None
        return EucaError(
            "capacity_exhausted",
            f"{spec.instance_id} does not fit on node {self._node_id}: {'; '.join(shortage(size, room))}.",
            facts={"asked": list(size.parts()), "free": list(room.parts())},
        )

    def _accept_stop(self, instance_id: str, generation: int, _: Any) -> None:
        tombstone, record = self._tombstones.get(instance_id), self._machines.get(instance_id)
        if tombstone is not None and generation <= tombstone.generation:
            raise _old(instance_id, generation, tombstone.generation, "was terminated")
        if record is None:
            raise EucaError("instance_not_found", f"{instance_id} is not on node {self._node_id}.")
        if generation < record.generation:
            raise _old(instance_id, generation, record.generation, "is here")
        if record.want != Intent.STOPPED or generation > record.generation:
            self._save(replace(record, want=Intent.STOPPED, generation=generation, settled=False))

    def _accept_absent(self, instance_id: str, generation: int, item: Any) -> None:
        keep = item.get("keep_disk") is True
        old, record = self._tombstones.get(instance_id), self._machines.get(instance_id)
        if record is not None and generation < record.generation:
            raise _old(instance_id, generation, record.generation, "is here")
        under_way = instance_id in self._removing and old is not None
        tombstone = Tombstone(
            instance_id,
            max(generation, old.generation if old else 0),
            self._clock.now(),
            keep or (under_way and old is not None and old.keep_disk),
            record.reboots if record else (old.reboots if old else 0),
        )
        self._shown[instance_id] = tombstone.at
        if old is not None and record is None and old.generation >= generation and not under_way:
            self._unpoked = True
            return  # done long ago; now it is told again
        self._records.bury(tombstone)
        self._crash("tombstoned")
        self._tombstones[instance_id] = tombstone
        self._removing.add(instance_id)
        self._later.pop(instance_id, None)
        self._touch(instance_id)

    def _accept_reboot(self, instance_id: str, generation: int, item: Any) -> None:
        counter, record = item.get("reboots"), self._machines.get(instance_id)
        if type(counter) is not int:
            raise EucaError("parameter_invalid", f"The reboot of {instance_id} lacks its counter `reboots`.")
        if record is None or instance_id in self._removing:
            raise EucaError("instance_not_found", f"{instance_id} is not on node {self._node_id}.")
        if generation != record.generation:
            raise _old(instance_id, generation, record.generation, "is here")
        if counter <= record.reboots:
            return
        self._save(replace(record, reboots=counter))
        self._crash("reboot-recorded")
        if (
            record.seen == Seen.RUNNING
        ):  # a machine that does not run has nothing to reset; the counter counts
            mark = self._mark(instance_id, generation)
            self._hand_over(instance_id, lambda: self._hypervisor.reboot(mark), self._after_reset)


def _instance(text: Any) -> str:
    """It becomes a file's name: nothing but an instance id may."""
    instance_id = parse_resource_id(text, INSTANCE) if isinstance(text, str) else None
    if instance_id is None or instance_id != text:
        raise EucaError("id_malformed", f"{text!r} is not an instance id such as i-0a1b2c3d.")
    return instance_id


def _image(text: Any) -> str:
    """The same."""
    image_id = parse_resource_id(text, MACHINE_IMAGE) if isinstance(text, str) else None
    if image_id is None or image_id != text:
        raise EucaError("id_malformed", f"{text!r} is not an image id such as emi-0a1b2c3d.")
    return image_id


def _item(item: Any) -> tuple[str, int]:
    instance_id, generation = (
        (item.get("instance_id"), item.get("generation")) if isinstance(item, dict) else (0, 0)
    )
    if type(generation) is not int:
        raise EucaError("parameter_invalid", f"The order for {instance_id!r} lacks its generation.")
    return _instance(instance_id), generation


def _old(instance_id: str, asked: int, here: int, what: str) -> EucaError:
    return EucaError(
        "generation_old",
        f"Generation {asked} of {instance_id} was refused: generation {here} {what}.",
        facts={"asked": asked, "here": here},
    )
