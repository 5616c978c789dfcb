"""Which signatures were used already: a message is executed once, also across restarts.

The decoded signature is what is remembered, so that writing the same message in another way does not make it new.  Its
record is written before the message is executed.  What has expired is forgotten, because the verifier refuses it by
its time.

Nothing waits for the disk.  What a process has written is there for the next one even if it was killed; only a restart
of the *host* can lose the last records, and so every message from before the host's boot is refused by its age.  The
file says under which boot it was written; one of another boot has nothing to tell.

    file: SHA-256 of the boot's id, then records of 40 bytes, SHA-256 of the signature and its expiry; only ever
    appended to, and written anew without what has expired when it has grown to twice what was alive
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from euca_rpc.clock import SECOND, Micros, moment
from euca_rpc.errors import EucaError

from .wssecurity import SKEW

HEAD, RECORD = 32, 40
FEWEST = 4096  # records before the file is worth writing anew
MOST = 250_000  # alive at once: 400 messages a second, each for 10 minutes
NAME = "signatures"


@dataclass(frozen=True, slots=True)
class Boot:
    """One life of the host."""

    id: str
    began: Micros


def this_boot(now: Micros) -> Boot:
    id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Boot(id, now - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)


class Replays:
    def __init__(self, directory: Path, now: Micros, boot: Boot | None = None, most: int = MOST) -> None:
        boot = boot or this_boot(now)
        self._path = directory / NAME
        self._most = most
        self._lock = threading.Lock()
        self._head = hashlib.sha256(boot.id.encode()).digest()
        self._file = -1
        self._records = 0
        self._ample = FEWEST  # records, from which on the file is worth writing anew
        self._earliest = 0  # when the first of them expires
        self._alive: dict[bytes, Micros] = {}
        # A client's clock may have been ahead, and moments are read to the second.
        self._since = boot.began + SKEW + SECOND
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._read()
            self._rewrite(now)
        except OSError as error:
            raise EucaError(
                "config_invalid",
                f"The EC2 interface cannot keep its used signatures in {directory}: {error}. Name another 'state_directory'.",
            ) from error

    def take(self, signature: bytes, created: Micros, expires: Micros, now: Micros) -> bool:
        """True for the first time, and then never again until ``expires``."""
        if created <= self._since:
            return False
        key = hashlib.sha256(signature).digest()
        with self._lock:
            if self._alive.get(key, 0) > now:
                return False
            try:
                if self._records >= min(self._ample, self._most) and self._earliest <= now:
                    self._rewrite(now)
                if self._records >= self._most:
                    raise EucaError(
                        "throttled",
                        f"{self._most} signed messages are still valid, which is the limit; it is {moment(now)},"
                        " try again in some minutes.",
                    )
                self._append(key, expires)
            except OSError as error:
                raise EucaError(
                    "unavailable",
                    "The cloud cannot note that this message was used, and so does not execute it; try again later.",
                    private=f"{self._path}: {error}",
                ) from error
            self._alive[key] = expires
            self._earliest = min(self._earliest, expires)
            return True

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _append(self, key: bytes, expires: Micros) -> None:
        # At a place of its own, so that what is left of a failed write is written over.
        record = key + expires.to_bytes(8, "big")
        if os.pwrite(self._file, record, HEAD + self._records * RECORD) != RECORD:
            raise OSError("the record was cut short")
        self._records += 1

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        if data[:HEAD] != self._head:
            return
        for end in range(HEAD + RECORD, len(data) + 1, RECORD):
            self._alive[data[end - 40 : end - 8]] = int.from_bytes(data[end - 8 : end], "big")

    def _rewrite(self, now: Micros) -> None:
        alive = {key: expires for key, expires in self._alive.items() if expires > now}
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(os.dup(file), "wb") as out:
                out.write(self._head)
                out.write(b"".join(key + expires.to_bytes(8, "big") for key, expires in alive.items()))
            fresh.replace(self._path)
        except BaseException:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._alive, self._records = file, alive, len(alive)
        self._ample = max(FEWEST, 2 * len(alive))
        self._earliest = min(alive.values(), default=2**63)
