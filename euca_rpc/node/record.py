"""What a node remembers of its machines, on disk, one small file per machine.

    home/instances/<id>/machine.json   the record: what was asked, how far it got, what was last seen
    home/instances/<id>/…              the machine's disk, seed, console: everything that goes with it
    home/tombstones/<id>.json          a recorded terminate: no generation up to this one is ever started again
    home/captures/<image id>/…         images being made from machines (`capture`)
    home/set-aside/<id>-<generation>   disks of a fenced node that came back, until somebody deletes them by hand
    home/lock                          held for the life of the daemon: one daemon per node id

A file is replaced by rename after fsync of the file, and the folder is fsynced too, so that after a power cut it holds
either the old or the new record.  A tombstone is written before anything is removed; the instance's folder goes last,
so "tombstone and folder both there" means "removal under way".

Guests share the disk and may fill it.  A ballast file is given up then, so that what the node has to remember, and
above all the terminate that makes room again, can still be written.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from euca_rpc.clock import Micros
from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.wire.codec import pack

T = TypeVar("T")

BALLAST = 1 << 20  # bytes: some hundred records


@dataclass(frozen=True, slots=True)
class Record:
    """One machine.  `seen`, `end`, `detail`, `since` are what the next report says of it."""

    spec: MachineSpec
    generation: int
    reboots: int  # the highest counter a reset was recorded for (before the reset: at most once each)
    want: str  # types.Intent: "running" | "stopped"
    seen: str  # types.Seen
    settled: bool  # nothing is left to do for `want`
    started: bool = False  # the hypervisor was asked to start this generation (written before it was asked)
    boot_id: str = ""  # of the host when it was accepted, then when it was started
    end: str = ""
    detail: str = ""
    private_address: str = ""
    public_address: str = ""
    since: Micros = 0


@dataclass(frozen=True, slots=True)
class Tombstone:
    instance_id: str
    generation: int
    at: Micros
    keep_disk: bool = False
    reboots: int = 0


class Records:
    """The files under a node's home.  Not locked: the service serialises its calls."""

    def __init__(self, home: Path) -> None:
        self._instances = home / "instances"
        self._tombstones = home / "tombstones"
        self._set_aside = home / "set-aside"
        for folder in (self._instances, self._tombstones, self._set_aside):
            folder.mkdir(parents=True, exist_ok=True)
        self._made = False
        self._ballast = home / "ballast"
        self._load_ballast()

    def folder(self, instance_id: str) -> Path:
        return self._instances / instance_id

    def has_folder(self, instance_id: str) -> bool:
        return self.folder(instance_id).exists()

    def load(self) -> tuple[dict[str, Record], dict[str, Tombstone]]:
        records: dict[str, Record] = {}
        for path in self._instances.glob("*/machine.json"):
            values = _read(path)
            values["spec"] = _spec(values["spec"])
            record = _known(Record, values)
            records[record.spec.instance_id] = record
        tombstones = {}
        for path in self._tombstones.glob("*.json"):
            tombstone = _known(Tombstone, _read(path))
            tombstones[tombstone.instance_id] = tombstone
        return records, tombstones

    def put(self, record: Record) -> None:
        """Durable when it returns, but for the name of a folder that it made: `settle`."""
        folder = self.folder(record.spec.instance_id)
        made = not folder.exists()
        try:
            folder.mkdir(exist_ok=True)
            self.write(folder / "machine.json", pack(record))
        except BaseException:
            if made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        self._made |= made

    def settle(self) -> None:
        """All that was put is durable: once for the machines of one request, before anything is done for them."""
        if self._made:
            sync_folder(self._instances)
            self._made = False

    def bury(self, tombstone: Tombstone) -> None:
        self.write(self._tombstones / f"{tombstone.instance_id}.json", pack(tombstone))

    def write(self, path: Path, values: Mapping[str, Any]) -> None:
        """A small file, whole and durable when it returns."""
        try:
            try:
                _replace(path, values)
            except OSError as error:
                if error.errno != errno.ENOSPC or not self._ballast.exists():
                    raise
                self._ballast.unlink()
                _replace(path, values)
        except OSError as error:
            raise EucaError(
                "unavailable",
                f"The node cannot write down what becomes of its machines: {path.parent}: {error.strerror}. Make room on "
                "its disk, or terminate machines there.",
            ) from error

    def _load_ballast(self) -> None:
        if not self._ballast.exists():
            fresh = self._ballast.with_name("ballast.new")
            try:
                fresh.write_bytes(os.urandom(BALLAST))  # no file system makes less of it
                fresh.replace(self._ballast)
            except OSError:
                fresh.unlink(missing_ok=True)  # full already: the next removal makes it

    def forget(self, tombstone: Tombstone) -> None:
        (self._tombstones / f"{tombstone.instance_id}.json").unlink(missing_ok=True)

    def remove(self, tombstone: Tombstone) -> None:
        """Delete the machine's folder, or put it aside.  Only ever called with what `bury` wrote before."""
        folder = self.folder(tombstone.instance_id)
        if not folder.exists():
            return
        if tombstone.keep_disk:
            os.rename(folder, self._free_place(f"{tombstone.instance_id}-{tombstone.generation}"))
            sync_folder(self._set_aside)
        else:
            shutil.rmtree(folder)
        sync_folder(self._instances)
        self._load_ballast()

    def _free_place(self, name: str) -> Path:
        place, n = self._set_aside / name, 1
        while place.exists():
            place, n = self._set_aside / f"{name}.{n}", n + 1
        return place


class HomeLock:
    """One daemon per node id, for as long as it lives; the kernel lets go when the process is gone."""

    def __init__(self, home: Path, node_id: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._file = open(home / "lock", "a+")  # noqa: SIM115  held for life
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise EucaError(
                "state_conflict",
                f"Node {node_id} is already served by process {holder}, which holds {home / 'lock'}. "
                "Two daemons with one node id would start machines twice: stop that one first.",
                facts={"node": node_id, "pid": holder},
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, values: Mapping[str, Any]) -> None:
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # user data may hold secrets
    try:
        data = memoryview(json.dumps(values, default=_bytes_as_text).encode())
        while data:  # a disk that is nearly full takes a part, without an error
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    os.replace(fresh, path)
    sync_folder(path.parent)


def _bytes_as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} does not belong into a record")


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as wrong:
        raise EucaError(
            "internal",
            f"{path} is not a machine's record ({wrong}). Nothing was changed; repair or move the file away by hand, "
            "then start the node again.",
        ) from wrong
    return values


def _known(cls: type[T], values: Mapping[str, Any]) -> T:
    """A newer version may have written more fields; they are not ours to read."""
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in values.items() if name in names})


def _spec(values: dict[str, Any]) -> MachineSpec:
    blobs = {name: _known(BlobRef, values[name]) for name in ("image", "kernel", "ramdisk") if values[name]}
    user_data = base64.b64decode(values["user_data"]["base64"])
    return _known(MachineSpec, {**values, **blobs, "user_data": user_data})
