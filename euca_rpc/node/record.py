"""What a node remembers of its machines, on disk.

    home/machines.log                  of each machine what was asked, how far it got, what was last seen; and of each
                                       recorded terminate a tombstone: no generation up to it is ever started again
    home/instances/<id>/…              the machine's disk, seed, console: everything that goes with it
    home/captures/<image id>/…         images being made from machines (`capture`)
    home/set-aside/<id>-<generation>   disks of a fenced node that came back, until somebody deletes them by hand
    home/lock                          held for the life of the daemon: one daemon per node id

`put` and `bury` write, `settle` makes durable: one sync (`log`) for all machines that were written meanwhile, called
before anything is done or said that relies on it.  A tombstone is durable before anything is removed; the record goes
last, so "tombstone and record both there" means "removal under way".

Guests share the disk and may fill it.  A ballast file is given up then, so that what the node has to remember, and
above all the terminate that makes room again, can still be written.

A home of before there was the log, with `machine.json` in each machine's folder and `tombstones/<id>.json`, is read once.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from euca_rpc.clock import Micros
from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.log import Log, sync_folder
from euca_rpc.wire.codec import pack

T = TypeVar("T")

BALLAST = 1 << 20  # bytes: some hundred records
LOG = "machines.log"


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
    """The files under a node's home.  The service serialises its calls, but for `settle` and `remove`."""

    def __init__(self, home: Path, crash: Callable[[str], None] = lambda point: None) -> None:
        self._home = home
        self._instances = home / "instances"
        self._set_aside = home / "set-aside"
        for folder in (self._instances, self._set_aside):
            folder.mkdir(parents=True, exist_ok=True)
        self._made = False  # folders whose names are not durable yet
        self._ballast = home / "ballast"
        self._log = self._kept(
            home, lambda: Log(home / LOG, lambda: _before_the_log(home), also=self._sync_made, crash=crash)
        )
        _remove_before_the_log(home)
        self._load_ballast()

    @property
    def durable(self) -> int:
        """Bytes of the log that outlive a power cut."""
        return self._log.durable

    def folder(self, instance_id: str) -> Path:
        return self._instances / instance_id

    def has_folder(self, instance_id: str) -> bool:
        return self.folder(instance_id).exists()

    def load(self) -> tuple[dict[str, Record], dict[str, Tombstone]]:
        records, tombstones = _decoded(self._log.values())
        for instance_id, record in records.items():
            tombstone = tombstones.get(instance_id)
            if tombstone is None or record.generation > tombstone.generation:
                self.folder(instance_id).mkdir(exist_ok=True)  # a power cut may have kept the line alone
        return records, tombstones

    def put(self, record: Record) -> None:
        """Durable after `settle`.  Raises EucaError (unavailable) if there is no room for it; then nothing has changed."""
        folder, made = self.folder(record.spec.instance_id), False

        def write() -> None:
            nonlocal made
            if not folder.exists():
                folder.mkdir()
                made = self._made = True
            self._log.append(_machine(record.spec.instance_id), _plain(pack(record)))

        try:
            self._kept(self._home, write)
        except BaseException:
            if made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise

    @property
    def position(self) -> int:
        """What was put, buried and dropped until now."""
        return self._log.position

    def settle(self, position: int | None = None) -> None:
        """All that was put, buried and dropped, until ``position`` at least, is durable: one sync for the machines of one
        request, and for all who wait for one at the same time.  Blocking: not to be called with the node's lock held."""
        self._kept(self._home, lambda: self._log.settle(position))

    def bury(self, tombstone: Tombstone) -> None:
        """Durable after `settle`."""
        self._kept(self._home, lambda: self._log.append(_grave(tombstone.instance_id), pack(tombstone)))

    def drop(self, instance_id: str) -> None:
        """The machine's record; what belonged to it is gone already."""
        self._kept(self._home, lambda: self._log.append(_machine(instance_id), None))

    def write(self, path: Path, values: Mapping[str, Any]) -> None:
        """A small file, whole and durable when it returns."""
        self._kept(path.parent, lambda: _replace(path, values))

    def close(self) -> None:
        self._log.close()

    def _kept(self, place: Path, write: Callable[[], T]) -> T:
        """Once more without the ballast if the disk is full."""
        try:
            try:
                return write()
            except OSError as error:
                if error.errno != errno.ENOSPC or not self._ballast.exists():
                    raise
                self._ballast.unlink()
                return write()
        except OSError as error:
            raise EucaError(
                "unavailable",
                f"The node cannot write down what becomes of its machines: {place}: {error.strerror}. Make room on "
                "its disk, or terminate machines there.",
            ) from error

    def _sync_made(self) -> None:
        if self._made:
            self._made = False  # before: one that is made meanwhile is the next one's
            try:
                sync_folder(self._instances)
            except OSError:
                self._made = True
                raise

    def _load_ballast(self) -> None:
        if not self._ballast.exists():
            fresh = self._ballast.with_name("ballast.new")
            try:
                fresh.write_bytes(os.urandom(BALLAST))  # no file system makes less of it
                fresh.replace(self._ballast)
            except OSError:
                fresh.unlink(missing_ok=True)  # full already: the next removal makes it

    def forget(self, tombstone: Tombstone) -> None:
        self._kept(self._home, lambda: self._log.append(_grave(tombstone.instance_id), None))

    def remove(self, tombstone: Tombstone) -> None:
        """Delete the machine's folder, or put it aside.  Only ever called with what `bury` wrote and `settle` made durable."""
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


def remembered(home: Path) -> tuple[dict[str, Record], dict[str, Tombstone]]:
    """What is written in a home that may be another's."""
    return _decoded(Log.read(home / LOG))


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


def _machine(instance_id: str) -> str:
    return f"machine/{instance_id}"


def _grave(instance_id: str) -> str:
    return f"tombstone/{instance_id}"


def _plain(packed: dict[str, Any]) -> dict[str, Any]:
    """The packed record with its only bytes, the user data, as JSON has them."""
    return {**packed, "spec": {**packed["spec"], "user_data": _bytes_as_text(packed["spec"]["user_data"])}}


def _decoded(values: Mapping[str, Any]) -> tuple[dict[str, Record], dict[str, Tombstone]]:
    records, tombstones = {}, {}
    for key, value in values.items():
        kind, _, instance_id = key.partition("/")
        if kind == "machine":
            records[instance_id] = _known(Record, {**value, "spec": _spec(value["spec"])})
        elif kind == "tombstone":
            tombstones[instance_id] = _known(Tombstone, value)
    return records, tombstones


def _before_the_log(home: Path) -> dict[str, Any]:
    machines = {_machine(path.parent.name): _read(path) for path in home.glob("instances/*/machine.json")}
    return machines | {_grave(path.stem): _read(path) for path in home.glob("tombstones/*.json")}


def _remove_before_the_log(home: Path) -> None:
    for path in home.glob("instances/*/machine.json"):
        path.unlink()
    shutil.rmtree(home / "tombstones", ignore_errors=True)


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
