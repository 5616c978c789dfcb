"""An append-only file of values by key, whose writers share their syncs.

    append(key, value)   a line is written, and is not durable yet; None takes the key out
    settle()             returns when all that was appended before is durable: one fdatasync for all who wait for one
    settle(position)     the same for what had been appended when ``position`` was read

    line:  CRC-32 of the rest · durable up to this byte when it was written · {"key": …, "value": …} ⏎

What is in force is the last line of each key.  A file that is much longer than that is written anew beside, synced and
renamed, and so is one whose sync failed: what the kernel still has of it cannot be relied upon.

A crash may leave any of the lines after the last sync torn or missing.  Nobody was told of them, so at the first broken
line the file is cut off.  A line that some later one says was durable is another matter: then the disk has lost
something, and the file is not opened.

Safe to call from several threads.  Appending never waits for a sync, but for the rare rewriting.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from euca_rpc.errors import EucaError

log = logging.getLogger(__name__)

ROOM = 1 << 20  # bytes that a file may be longer than four times what is in force
_HEAD = 8 + 1 + 12 + 1  # before the JSON text: checksum and mark in hexadecimal digits, each with a blank


class Log:
    def __init__(
        self,
        path: Path,
        initial: Callable[[], Mapping[str, Any]],
        *,
        also: Callable[[], None] = lambda: None,
        crash: Callable[[str], None] = lambda point: None,
    ) -> None:
        """Opened, or made of the ``initial`` values.  ``also`` is called with each sync, for what has to be durable
        together with the lines.  Raises OSError, or EucaError (internal) if the file is damaged."""
        self._path, self._also, self._crash = path, also, crash
        self._mutex = threading.Lock()  # guards all below
        self._turn = threading.Lock()  # held by who syncs; taken before the mutex
        self._alive: dict[str, bytes] = {}
        self._alive_bytes = 0
        self._appended = self._settled = 0  # lines since it was opened
        self._damaged = False  # only a rewritten file is to be trusted
        self._handle = -1
        if path.exists():
            values, self._size = _read(path)
            self._handle = os.open(path, os.O_RDWR)
            for key, value in values.items():
                self._count(key, _text(key, value))
            os.ftruncate(self._handle, self._size)
            os.fsync(self._handle)  # what was only in the kernel's memory is relied upon from now on
            sync_folder(path.parent)
            self._durable = self._size
        else:
            for key, value in initial().items():
                self._count(key, _text(key, value))
            self._rewrite()

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        """What is in force in the file, which may be another process's."""
        return _read(path)[0]

    @property
    def durable(self) -> int:
        """Bytes that outlive a power cut; whatever follows may be lost."""
        return self._durable

    @property
    def position(self) -> int:
        """Of the last line, counted since the file was opened."""
        return self._appended

    def values(self) -> dict[str, Any]:
        with self._mutex:
            return {key: json.loads(text)["value"] for key, text in self._alive.items()}

    def append(self, key: str, value: Any) -> None:
        """Raises OSError; then it is as if it had not been called."""
        text = _text(key, value)
        self._crash("log-append")
        with self._mutex:
            if value is None and key not in self._alive:
                return
            line = _line(text, self._durable)
            try:
                _write(self._handle, line, self._size)
            except OSError:
                with contextlib.suppress(
                    OSError
                ):  # else the next line is written over what is there of this one
                    os.ftruncate(self._handle, self._size)
                raise
            self._size += len(line)
            self._appended += 1
            self._count(key, None if value is None else text)
        self._crash("log-appended")

    def settle(self, position: int | None = None) -> None:
        """Raises OSError when what was appended could not be made durable; the next call tries it again."""
        wanted = self._appended if position is None else position
        if self._settled >= wanted:
            return
        with self._turn:
            if self._settled >= wanted:
                return  # whoever had the turn did it for us
            with self._mutex:
                reached, size, handle = self._appended, self._size, self._handle
            self._crash("log-sync")
            if not self._damaged:
                try:
                    os.fdatasync(handle)
                except OSError as error:
                    log.warning("%s: %s; it is written anew", self._path, error.strerror)
                    self._damaged = True
            self._also()
            with self._mutex:
                if self._damaged:
                    reached = self._appended
                    self._rewrite()
                else:
                    self._durable = size
                self._settled = reached
                if self._size > 4 * self._alive_bytes + ROOM:
                    self._shorten()
            self._crash("log-synced")

    def close(self) -> None:
        with self._mutex:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1

    def _count(self, key: str, text: bytes | None) -> None:
        before = self._alive.pop(key, None)
        self._alive_bytes -= _HEAD + len(before) + 1 if before is not None else 0
        if text is not None:
            self._alive[key] = text
            self._alive_bytes += _HEAD + len(text) + 1

    def _shorten(self) -> None:
        try:
            self._rewrite()
            self._settled = self._appended
        except OSError as error:
            log.warning("%s was not shortened: %s", self._path, error.strerror)

    def _rewrite(self) -> None:
        """What is in force, and nothing else, durable and under the file's name."""
        fresh = self._path.with_name(self._path.name + ".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)  # user data may hold secrets
        try:
            _write(handle, b"".join(_line(text, self._alive_bytes) for text in self._alive.values()), 0)
            os.fsync(handle)
            self._crash("log-rewritten")
            os.replace(fresh, self._path)
        except BaseException:
            os.close(handle)
            fresh.unlink(missing_ok=True)
            raise
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._size, self._durable = handle, self._alive_bytes, self._alive_bytes
        self._crash("log-renamed")
        self._damaged = True  # until the name is durable, too
        sync_folder(self._path.parent)
        self._damaged = False


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _text(key: str, value: Any) -> bytes:
    return json.dumps({"key": key, "value": value}, separators=(",", ":")).encode()


def _line(text: bytes, durable: int) -> bytes:
    rest = b"%012x %b" % (durable, text)
    return b"%08x %b\n" % (zlib.crc32(rest), rest)


def _write(handle: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:  # a disk that is nearly full takes a part, without an error
        written = os.pwrite(handle, rest, at)
        rest, at = rest[written:], at + written


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """What is in force, and where it ends."""
    data = path.read_bytes()
    values: dict[str, Any] = {}
    whole, position, promised, broken = 0, 0, 0, False
    for line in data.splitlines(keepends=True):
        position += len(line)
        rest = line[9:-1]
        if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(rest):
            broken = True
            continue
        promised = max(promised, int(rest[:12], 16))
        if not broken:
            whole = position
            entry = json.loads(rest[13:])
            values.pop(entry["key"], None)
            if entry["value"] is not None:
                values[entry["key"]] = entry["value"]
    if whole < promised:
        raise EucaError(
            "internal",
            f"{path} is damaged after byte {whole}: what was durable up to byte {promised} cannot be read any more. "
            "Nothing was changed; put back a whole copy, or move the file away by hand, then start the node again.",
        )
    return values, whole
