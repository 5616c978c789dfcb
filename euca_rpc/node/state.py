"""What a node controller knows: its records, what it last saw of its hypervisor, and the report made of both.

The lowest of three layers (state ◄── work ◄── service).  One lock guards all of it and is never held while the
hypervisor or the carrier works; a look at the hypervisor that began before a record changed does not overwrite it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from euca_rpc.carrier import Carrier
from euca_rpc.clock import HOUR, SECOND, Clock, Micros
from euca_rpc.deltas import Told
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.node.capacity import OfferSettings, disk_gb, nearly_full, offer
from euca_rpc.node.capture import Captures, Machines, Store, no_store
from euca_rpc.node.disks import RealDisks
from euca_rpc.node.hypervisor import Domain, HostFacts, Hypervisor, Mark
from euca_rpc.node.machine import Crash, Disks, ImageSource, no_crash
from euca_rpc.node.network import Network
from euca_rpc.node.observed import held, report_of, see
from euca_rpc.node.record import HomeLock, Record, Records, Tombstone
from euca_rpc.types import Intent, Seen, Size

log = logging.getLogger(__name__)

SHOW_TOMBSTONES = HOUR  # how long a removed machine is still reported ABSENT after it was last asked for
KEEP_TOMBSTONES = 8 * 24 * HOUR  # longer than any request can be late
MEASURE_DISK = 300 * SECOND


class NodeState:
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
        store: Store = no_store,
        crash: Crash = no_crash,
        rest: Callable[[], object] | None = None,
        mac: str = "",
    ) -> None:
        """``rest``: put this host to sleep, by a job of the carrier; None: it cannot.  ``mac``: what wakes it."""
        self.wake: Callable[[], None] = lambda: None
        self._node_id, self._cloud_id, self._home = node_id, cloud_id, home
        self._hypervisor, self._carrier, self._clock, self._network = hypervisor, carrier, clock, network
        self._disks: Disks = disks if disks is not None else RealDisks(images)
        self._settings, self._poke, self._crash = offer, poke, crash
        self._rest, self._mac = rest, mac
        self._home_lock = HomeLock(home, node_id)
        self._records = Records(home, crash)
        self._taken = Size()  # what all machines hold together
        self._lock = (
            threading.RLock()
        )  # guards all below; never held while the hypervisor or the carrier works
        self._machines, self._tombstones = self._records.load()
        for record in self._machines.values():
            self._taken += held(record)
        self._removing = {i for i, t in self._tombstones.items() if self._buried_but_there(t)}
        self._shown = {i: t.at for i, t in self._tombstones.items()}  # since when a tombstone is reported
        self._busy: dict[str, int] = {}  # jobs handed to the carrier and not answered, per instance
        self._later: dict[str, Micros] = {}  # not before: a failed attempt is tried again
        self._changes = 0  # of records: an older look at the hypervisor overwrites none
        self._changed_at: dict[str, int] = {}
        self._unrecorded: tuple[MachineReport, ...] = ()
        self._foreign: tuple[Domain, ...] = ()
        self._facts = HostFacts("", "", 0, 0, "")
        self._looked = False
        self._hint = True
        self._open = {
            i for i, r in self._machines.items() if not r.settled
        }  # something is left to do for these
        self._unpoked = True  # something in the report that the cluster controller was not poked for
        self._told_at: Micros = clock.monotonic() - SECOND  # of the last poke
        self._disk_gb, self._measured = 0, -MEASURE_DISK
        self._version = ids.bits(48)
        self._last: NodeReport | None = None
        self._reported: dict[str, tuple[Record, str, MachineReport]] = {}  # with what each was made of
        self._packed: dict[str, tuple[MachineReport, Any]] = {}  # as it was sent last
        self._told: Told | None = None  # the same, with the version at which each changed
        self._captures = Captures(
            home,
            Machines(self._standing, self._mark, self._records.folder, self._records.write),
            hypervisor,
            self._disks,
            store,
            carrier,
            clock,
            self._lock,
            self._news,
            crash,
        )
        hypervisor.listen(self._on_hint)

    def close(self) -> None:
        """Lets go of the home; machines run on."""
        self._records.close()
        self._home_lock.release()

    # -------------------------------------------------------------------------------------------- looking
    def _look(self) -> None:
        with self._lock:
            changes = self._changes
            quiet = {i for i in self._machines if not self._busy.get(i)}
        facts, domains = self._hypervisor.facts(), self._hypervisor.domains()
        with self._lock:
            seen_before = (self._facts, self._foreign, self._unrecorded)
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
                    self._try_save(seen)
            self._unrecorded = tuple(
                self._stranger(domain.mark, domain)
                for domain in ours.values()
                if domain.mark and domain.running and domain.mark.instance_id not in self._machines
            )
            self._unpoked |= (self._facts, self._foreign, self._unrecorded) != seen_before
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
        machines = self._recorded()
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
            captures=self._captures.report(),
            sleeps=self._rest is not None,
            mac=self._mac,
        )
        if report != self._last:
            self._version += 1
            self._last = replace(report, version=self._version)
        return self._last

    def _recorded(self) -> list[MachineReport]:
        """Of each record; the same object as last time if its record is the same."""
        boot_id, before = self._facts.boot_id, self._reported
        after: dict[str, tuple[Record, str, MachineReport]] = {}
        for instance_id, record in self._machines.items():
            known = before.get(instance_id)
            if known is None or known[0] is not record or known[1] != boot_id:
                known = record, boot_id, report_of(record, boot_id)
            after[instance_id] = known
        self._reported = after
        return [report for _, _, report in after.values()]

    def _offer(self) -> Size:
        physical = Size(self._facts.cores, self._facts.memory_mb, self._disk_gb)
        return offer(physical, self._settings, self._foreign)

    # -------------------------------------------------------------------------------------------- records
    def _wanted(self, instance_id: str, generation: int) -> Record | None:
        """The record, if this generation is still what is to run."""
        with self._lock:
            record = self._machines.get(instance_id)
            if record is None or instance_id in self._removing:
                return None
            return record if record.generation == generation and record.want == Intent.RUNNING else None

    def _standing(self, instance_id: str) -> Record | None:
        """The record of a machine that is not to go."""
        return None if instance_id in self._removing else self._machines.get(instance_id)

    def _save(self, record: Record) -> None:
        """Written, and durable after `Records.settle`: whoever does or says something that relies on it calls that."""
        self._records.put(record)
        before = self._machines.get(record.spec.instance_id)
        self._taken += held(record) - (held(before) if before else Size())
        self._machines[record.spec.instance_id] = record
        if record.settled:
            self._open.discard(record.spec.instance_id)
        else:
            self._open.add(record.spec.instance_id)
        self._touch(record.spec.instance_id)

    def _try_save(self, record: Record) -> None:
        """What was only seen: if it cannot be written now, the next look sees it again."""
        try:
            self._save(record)
        except EucaError as error:
            log.warning("%s: %s", record.spec.instance_id, error.sentence)

    def _drop(self, instance_id: str) -> None:
        self._records.drop(instance_id)
        record = self._machines.pop(instance_id, None)
        self._open.discard(instance_id)
        self._taken -= held(record) if record else Size()
        self._touch(instance_id)

    def _touch(self, instance_id: str) -> None:
        self._changes += 1
        self._changed_at[instance_id] = self._changes
        self._unpoked = True

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
            try:
                self._records.forget(self._tombstones[instance_id])
            except EucaError as error:  # the disk is full: it stays for now
                log.warning("%s: %s", instance_id, error.sentence)
                continue
            del self._tombstones[instance_id]
            del self._shown[instance_id]
            self._changed_at.pop(instance_id, None)

    def _news(self) -> None:
        self._poke()
        self.wake()

    def _on_hint(self) -> None:
        self._hint = True
        self.wake()
