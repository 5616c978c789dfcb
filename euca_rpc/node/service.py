"""The node controller: makes its host agree with what was asked, and says what it sees.

    ensure · stop · absent · reboot ──► durable record ──► answer          (quick; nothing happens before it is durable)
                                              │
                                        carrier.run(instance, job)         (one job at a time per instance)
                                              │
                                    make disk · start · stop · remove ──► record ──► poke
    report ──► look at the hypervisor ──► complete list of machines

Every request only changes the record; `_pursue` then looks at the record and does what is left to do for it, so a
repeated, late or reordered request, a retry and a restart of the daemon all take the same path.  What it promises:

* a generation is started at most once, and never at or below a tombstone; the mark "start asked" is durable before
  the hypervisor is asked, and after a restart of the daemon a machine that runs is adopted, not started;
* a machine that ended is reported with the reason and left alone: only a new generation runs again;
* nothing is removed but what a tombstone names, and the tombstone is durable first;
* a reset is done at most once per value of the reboot counter: the counter is durable before the reset, so a daemon
  killed in between leaves the machine un-reset and says nothing false;
* domains without our mark, or with another node's, are counted and never touched.

Failures that another attempt may cure (`unreachable`, `unavailable`) are tried again every RETRY until something newer
is asked; all others make the machine FAILED with the reason.  The deadline is the cloud's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from euca_rpc.carrier import Answer, Carrier
from euca_rpc.clock import HOUR, SECOND, Clock, Micros, moment
from euca_rpc.errors import EucaError
from euca_rpc.ids import INSTANCE, Ids, parse_resource_id
from euca_rpc.node.capacity import OfferSettings, disk_gb, nearly_full, offer
from euca_rpc.node.disks import RealDisks
from euca_rpc.node.hypervisor import Domain, HostFacts, Hypervisor, Mark
from euca_rpc.node.machine import (
    Crash,
    Disks,
    ImageSource,
    Superseded,
    console_tail,
    no_crash,
    no_disk_sentence,
    prepare,
)
from euca_rpc.node.network import Network
from euca_rpc.node.observed import held, report_of, see, shortage
from euca_rpc.node.record import HomeLock, Record, Records, Tombstone
from euca_rpc.types import End, Intent, MachineReport, MachineSpec, NodeReport, Seen, Size
from euca_rpc.wire.codec import pack, unpack
from euca_rpc.wire.contracts import CONTRACT, NODE, OLDEST

RETRY = 5 * SECOND
SHOW_TOMBSTONES = HOUR  # how long a removed machine is still reported ABSENT after it was last asked for
KEEP_TOMBSTONES = 8 * 24 * HOUR  # longer than any request can be late
MEASURE_DISK = 300 * SECOND
CURABLE = ("unreachable", "unavailable")


class NodeService:
    def __init__(
        self,
        node_id: str,
        cloud_id: str,
        home: Path,
        hypervisor: Hypervisor,
        images: ImageSource,
        carrier: Carrier,
        clock: Clock,
        ids: Ids,
        offer: OfferSettings,
        network: Network,
        *,
        poke: Callable[[], None],
        disks: Disks | None = None,
        crash: Crash = no_crash,
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._node_id, self._cloud_id, self._home = node_id, cloud_id, home
        self._hypervisor, self._carrier, self._clock, self._network = hypervisor, carrier, clock, network
        self._disks: Disks = disks if disks is not None else RealDisks(images)
        self._settings, self._poke, self._crash = offer, poke, crash
        self._ids = ids
        self._held = HomeLock(home, node_id)
        self._records = Records(home)
        self._lock = (
            threading.RLock()
        )  # guards all below; never held while the hypervisor or the carrier works
        self._machines, self._tombstones = self._records.load()
        self._removing = {i for i, t in self._tombstones.items() if self._buried_but_there(t)}
        self._shown = {i: t.at for i, t in self._tombstones.items()}  # since when a tombstone is reported
        self._busy: dict[str, int] = {}  # jobs handed to the carrier and not answered, per instance
        self._later: dict[str, Micros] = {}  # not before: a failed attempt is tried again
        self._changes = (
            0  # counts changes of records, so that an older look at the hypervisor overwrites none
        )
        self._changed_at: dict[str, int] = {}
        self._unrecorded: tuple[MachineReport, ...] = ()
        self._foreign: tuple[Domain, ...] = ()
        self._facts = HostFacts("", "", 0, 0, "")
        self._looked = False
        self._hint = True
        self._disk_gb, self._measured = 0, -MEASURE_DISK
        self._version = ids.bits(48)
        self._last: NodeReport | None = None
        hypervisor.listen(self._on_hint)

    def close(self) -> None:
        """Lets go of the home; machines run on."""
        self._held.release()

    # ------------------------------------------------------------------------------- what the cluster may ask
    def hello(self) -> dict[str, Any]:
        return {
            "role": NODE,
            "contract": [OLDEST, CONTRACT],
            "boot_id": self._facts.boot_id,
            "node": self._node_id,
        }

    def report(self, known: int | None = None) -> dict[str, Any]:
        """All machines, after a fresh look.  Raises ``unreachable`` when the hypervisor does not answer."""
        self._look()
        with self._lock:
            report = self._compose()
        if known == report.version:
            return {"same": report.version}
        packed: dict[str, Any] = pack(report)
        return packed

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
        others = (held(r) for i, r in self._machines.items() if i != spec.instance_id)
        room = self._offer() - sum(others, Size())
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

    # ------------------------------------------------------------------------------------------ doing the work
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
            before = self._last
            changed = self._compose() is not before
            left = [i for i, r in self._machines.items() if not r.settled] + list(self._removing)
            self._forget_old()
        for instance_id in left:
            self._pursue(instance_id)
        if changed:
            self._poke()
        with self._lock:
            return min(self._later.values(), default=None)

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
            elif record is None or record.settled or not self._looked:
                return
            elif record.want == Intent.STOPPED:
                job = lambda: self._stop(instance_id, record.generation)
            else:
                job = lambda: self._run(instance_id, record.generation)
            self._hand_over(instance_id, job, self._after)

    def _hand_over(
        self, instance_id: str, job: Callable[[], Any], after: Callable[[str, EucaError | None], None]
    ) -> None:
        self._busy[instance_id] = self._busy.get(instance_id, 0) + 1

        def answered(answer: Answer) -> None:
            with self._lock:
                self._busy[instance_id] = max(0, self._busy.get(instance_id, 0) - 1)
                if not self._busy[instance_id]:
                    del self._busy[instance_id]
                after(instance_id, answer.error)
            self._pursue(instance_id)  # something newer may have been recorded meanwhile
            self._poke()
            self.wake()

        self._carrier.run(instance_id, job, answered)

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
        self._hypervisor.stop(self._mark(instance_id, tombstone.generation))
        self._crash("undefined")
        self._network.absent(instance_id)
        self._records.remove(tombstone)
        self._crash("deleted")
        with self._lock:
            self._machines.pop(instance_id, None)
            if self._tombstones[instance_id] == tombstone:
                self._removing.discard(instance_id)
            self._touch(instance_id)

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
            self._fail(instance_id, record.generation, error.sentence)
            return
        self._later[instance_id] = self._clock.now() + RETRY
        if record is not None and record.detail != error.sentence:
            self._save(replace(record, detail=error.sentence))

    def _after_reset(self, instance_id: str, error: EucaError | None) -> None:
        record = self._machines.get(instance_id)
        if error is not None and record is not None:
            at = moment(self._clock.now())
            self._save(
                replace(record, detail=f"Reset {record.reboots} asked at {at} failed: {error.sentence}")
            )

    def _fail(self, instance_id: str, generation: int, sentence: str) -> None:
        record = self._machines.get(instance_id)
        if record is not None and record.generation == generation:
            now = self._clock.now()
            self._save(replace(record, seen=Seen.FAILED, detail=sentence, settled=True, since=now))

    # -------------------------------------------------------------------------------------------- looking
    def _look(self) -> None:
        with self._lock:
            changes = self._changes
            quiet = {i for i in self._machines if not self._busy.get(i)}
        facts, domains = self._hypervisor.facts(), self._hypervisor.domains()
        with self._lock:
            self._facts, self._looked = facts, True
            now = self._clock.now()
            if self._settings.disk_gb is None and now - self._measured >= MEASURE_DISK:
                self._disk_gb, self._measured = disk_gb(self._home), now
            ours = {d.mark.instance_id: d for d in domains if d.mark and self._is_ours(d.mark)}
            self._foreign = tuple(d for d in domains if d.mark is None or not self._is_ours(d.mark))
            for instance_id in quiet:
                record = self._machines.get(instance_id)
                if (
                    record is None
                    or self._busy.get(instance_id)
                    or self._changed_at.get(instance_id, 0) > changes
                ):
                    continue  # it changed while we looked: the next look tells
                if record.want == Intent.STOPPED and not record.settled:
                    continue  # it may still run as an older generation; the stop to come finds out
                domain = ours.get(instance_id)
                same = domain is not None and domain.mark and domain.mark.generation == record.generation
                seen = see(record, domain if same else None, facts.boot_id, now)
                if seen is not record:
                    self._save(seen)
            self._unrecorded = tuple(
                self._stranger(domain.mark, domain)
                for domain in ours.values()
                if domain.mark and domain.running and domain.mark.instance_id not in self._machines
            )
            for domain in ours.values():  # told to remove it, and killed before it was done
                tombstone = self._tombstones.get(domain.name)
                buried = tombstone and domain.mark and domain.mark.generation <= tombstone.generation
                if buried and domain.name not in self._machines:
                    self._removing.add(domain.name)

    def _stranger(self, mark: Mark, domain: Domain) -> MachineReport:
        return MachineReport(
            mark.instance_id,
            mark.generation,
            0,
            Seen.RUNNING,
            detail=f"It runs on {self._node_id} with this node's mark, but no record of it is here; it is left alone.",
        )

    def _compose(self) -> NodeReport:
        """The report; its version is raised by every change of what it says."""
        now = self._clock.now()
        machines = [report_of(record) for record in self._machines.values()]
        machines += [m for m in self._unrecorded if m.instance_id not in self._machines]
        machines += [
            MachineReport(i, t.generation, t.reboots, Seen.ABSENT, since=t.at)
            for i, t in self._tombstones.items()
            if i not in self._machines and i not in self._removing and now - self._shown[i] <= SHOW_TOMBSTONES
        ]
        full = nearly_full(self._home)
        report = NodeReport(
            node=self._node_id,
            boot_id=self._facts.boot_id,
            hypervisor=self._facts.hypervisor,
            architecture=self._facts.architecture,
            offer=self._offer(),
            version=self._version,
            machines=tuple(machines),
            warnings=self._facts.warnings + ((full,) if full else ()),
        )
        if report != self._last:
            self._version += 1
            self._last = replace(report, version=self._version)
        return self._last

    def _offer(self) -> Size:
        physical = Size(self._facts.cores, self._facts.memory_mb, self._disk_gb)
        return offer(physical, self._settings, self._foreign)

    # ------------------------------------------------------------------------------------------------ details
    def _wanted(self, instance_id: str, generation: int) -> Record | None:
        """The record, if this generation is still what is to run."""
        with self._lock:
            record = self._machines.get(instance_id)
            if record is None or instance_id in self._removing:
                return None
            return record if record.generation == generation and record.want == Intent.RUNNING else None

    def _save(self, record: Record) -> None:
        self._records.put(record)
        self._machines[record.spec.instance_id] = record
        self._touch(record.spec.instance_id)

    def _touch(self, instance_id: str) -> None:
        self._changes += 1
        self._changed_at[instance_id] = self._changes

    def _mark(self, instance_id: str, generation: int) -> Mark:
        return Mark(self._cloud_id, self._node_id, instance_id, generation)

    def _is_ours(self, mark: Mark) -> bool:
        return mark.cloud_id == self._cloud_id and mark.node_id == self._node_id

    def _buried_but_there(self, tombstone: Tombstone) -> bool:
        record = self._machines.get(tombstone.instance_id)
        if record is not None:
            return record.generation <= tombstone.generation
        return self._records.has_folder(tombstone.instance_id)

    def _forget_old(self) -> None:
        horizon = self._clock.now() - KEEP_TOMBSTONES
        for instance_id in [i for i, at in self._shown.items() if at < horizon and i not in self._removing]:
            self._records.forget(self._tombstones.pop(instance_id))
            del self._shown[instance_id]
            self._changed_at.pop(instance_id, None)

    def _on_hint(self) -> None:
        self._hint = True
        self.wake()


def _instance(text: Any) -> str:
    """It becomes a file's name: nothing but an instance id may."""
    instance_id = parse_resource_id(text, INSTANCE) if isinstance(text, str) else None
    if instance_id is None or instance_id != text:
        raise EucaError("id_malformed", f"{text!r} is not an instance id such as i-0a1b2c3d.")
    return instance_id


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
