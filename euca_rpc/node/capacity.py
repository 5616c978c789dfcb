"""What a node offers: a pure function of what the host has, the settings, and what foreign domains take.

    offer = override, or physical × ratio − reserve;  minus foreign domains;  never below nothing

An override replaces the first part in either direction: a laboratory may promise more than there is, an administrator
less.  Disk is what the file system of the node's home had free when the daemon started, plus what its own machines
already hold of it, so that a machine's disk filling up does not shrink the offer that it was claimed from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from euca_rpc.node.hypervisor import Domain
from euca_rpc.types import Size

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class OfferSettings:
    cores: int | None = None  # None: what the host has × ratio − reserve
    memory_mb: int | None = None
    disk_gb: int | None = None
    cores_ratio: float = 1.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserve_cores: int = 0
    reserve_memory_mb: int = 256  # the daemon, libvirtd and the host's own needs
    reserve_disk_gb: int = 2  # the image cache and logs grow here too


def offer(physical: Size, settings: OfferSettings, foreign: Iterable[Domain] = ()) -> Size:
    taken = sum((domain.size for domain in foreign if domain.running), Size())
    return Size(
        _one(physical.cores, settings.cores, settings.cores_ratio, settings.reserve_cores, taken.cores),
        _one(
            physical.memory_mb,
            settings.memory_mb,
            settings.memory_ratio,
            settings.reserve_memory_mb,
            taken.memory_mb,
        ),
        _one(
            physical.disk_gb, settings.disk_gb, settings.disk_ratio, settings.reserve_disk_gb, taken.disk_gb
        ),
    )


def _one(physical: int, override: int | None, ratio: float, reserve: int, foreign: int) -> int:
    have = override if override is not None else int(physical * ratio) - reserve
    return max(0, have - foreign)


def disk_gb(home: Path) -> int:
    """Free on the file system of ``home``, plus what the machines below it occupy."""
    room = os.statvfs(home)
    ours = sum(path.lstat().st_blocks * 512 for path in home.glob("instances/*/disk*"))
    return int(room.f_bavail * room.f_frsize + ours) // GIB


def nearly_full(home: Path) -> str | None:
    """A warning before guests meet a full disk (their writes then fail with an error, nobody is paused)."""
    room = os.statvfs(home)
    free = room.f_bavail * room.f_frsize
    if free < GIB or room.f_bavail * 20 < room.f_blocks:
        return (
            f"The disk under {home} has only {free >> 20} MiB left; guests' writes will fail when it is full."
        )
    return None
