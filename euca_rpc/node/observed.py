"""What a look at the hypervisor makes of a record; pure.

    record + the domain listed for it (or none) + the host's boot id  →  record

The truth about a machine is the hypervisor.  A record only adds what a list of domains cannot say: that a start was
asked for, on which boot of the host, and how it ended once the domain is gone.
"""

from __future__ import annotations

from dataclasses import replace

from euca_rpc.clock import Micros
from euca_rpc.machines import MachineReport
from euca_rpc.node.hypervisor import Domain
from euca_rpc.node.record import Record
from euca_rpc.types import End, Intent, Seen, Size

_HOST_LOSS = {"", End.UNKNOWN, End.CRASHED}  # ends that a changed boot id explains better


def see(record: Record, domain: Domain | None, boot_id: str, now: Micros) -> Record:
    """``domain`` is the one of this record's generation."""
    if domain is not None and domain.running:
        if record.seen == Seen.RUNNING:
            return record
        return replace(record, seen=Seen.RUNNING, end="", detail="", since=now)
    once_ran = record.seen == Seen.RUNNING or (record.seen == Seen.PREPARING and record.started)
    if not once_ran or (domain is None and record.seen == Seen.PREPARING):
        return record  # not started yet, or already known to have ended
    end = domain.end if domain is not None else End.UNKNOWN
    if end in _HOST_LOSS and record.boot_id and record.boot_id != boot_id:
        end = End.HOST
    return replace(record, seen=Seen.STOPPED, end=end or End.UNKNOWN, since=now, settled=True)


def left_over(record: Record, boot_id: str) -> bool:
    """Accepted before the host lost power, and not started then.  Who asked may have been told since that the host is
    off and given the machine up, so it is not begun until it is asked for again."""
    begun = record.settled or record.seen != Seen.PREPARING or record.want != Intent.RUNNING
    return not begun and record.boot_id not in ("", boot_id)


def report_of(record: Record, boot_id: str) -> MachineReport:
    if left_over(record, boot_id):
        record = replace(
            record,
            seen=Seen.NOTHING,
            detail="The host lost power before it was started; it waits to be asked again.",
        )
    return MachineReport(
        instance_id=record.spec.instance_id,
        generation=record.generation,
        reboots=record.reboots,
        seen=record.seen,
        end=record.end,
        detail=record.detail,
        private_address=record.private_address,
        public_address=record.public_address,
        since=record.since,
    )


def held(record: Record) -> Size:
    """What a machine holds of the node: a stopped one keeps its disk alone."""
    size = Size(record.spec.cores, record.spec.memory_mb, record.spec.disk_gb)
    return Size(disk_gb=size.disk_gb) if record.seen in (Seen.STOPPED, Seen.FAILED) else size


def shortage(spec_size: Size, room: Size) -> list[str]:
    """The dimensions in which it does not fit, as words."""
    words = ("cores", "MiB of memory", "GiB of disk")
    return [
        f"{asked} {word} asked, {max(0, free)} free"
        for asked, free, word in zip(spec_size.parts(), room.parts(), words, strict=True)
        if asked > free
    ]
