"""Identifiers and randomness, in one place.

Ids are random, written in lower case and read in any case; whoever stores one checks that it is new.  The simulator
passes a seeded ``random.Random`` as the source; daemons use the operating system's.
"""

from __future__ import annotations

import os
import random
import re
import string
import threading
from typing import Protocol

INSTANCE, RESERVATION, MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE = "i-", "r-", "emi-", "eki-", "eri-"
IMAGE_PREFIX = {"machine": MACHINE_IMAGE, "kernel": KERNEL_IMAGE, "ramdisk": RAMDISK_IMAGE}

_ID = re.compile(r"(i|r|emi|eki|eri)-[0-9a-f]{8}")
NAME = re.compile(
    r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?"
)  # zones, hosts: what a certificate and a URI can carry
_ALPHANUMERIC = string.ascii_letters + string.digits


class Ids(Protocol):
    def bits(self, n: int) -> int: ...


class _Drawn:
    """The operating system's random bytes, some hundred ids' worth at a time: each asking lets go of the interpreter, and
    other threads take it."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # what the parent has drawn is the parent's

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._bytes, self._used = b"", 0

    def take(self, size: int) -> bytes:
        with self._lock:
            if self._used + size > len(self._bytes):
                self._bytes, self._used = os.urandom(max(_DRAW, size)), 0
            start, self._used = self._used, self._used + size
            return self._bytes[start : self._used]


_DRAW = 4096
_drawn = _Drawn()


class SystemIds:
    def bits(self, n: int) -> int:
        size = (n + 7) // 8
        return int.from_bytes(_drawn.take(size), "big") >> (8 * size - n)


class SeededIds:
    """Repeatable: for the simulator and for tests, never for a daemon."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311

    def bits(self, n: int) -> int:
        return self._random.getrandbits(n)


def resource_id(ids: Ids, prefix: str) -> str:
    return f"{prefix}{ids.bits(32):08x}"


def account_number(ids: Ids) -> str:
    """12 decimal digits, never starting with 0 (spreadsheets eat it)."""
    return str(100_000_000_000 + ids.bits(64) % 900_000_000_000)


def access_key_id(ids: Ids) -> str:
    return "AK" + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[ids.bits(5)] for _ in range(18))


def secret_key(ids: Ids) -> str:
    """40 characters, 238 bits."""
    return "".join(_ALPHANUMERIC[ids.bits(64) % 62] for _ in range(40))


def request_id(ids: Ids) -> str:
    h = f"{ids.bits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def mac_address(instance_id: str) -> str:
    """``d0:0d:`` and the four bytes of the instance id, as the original did."""
    digits = instance_id[2:]
    return "d0:0d:" + ":".join(digits[i : i + 2] for i in range(0, 8, 2))


def parse_resource_id(text: str, *prefixes: str) -> str | None:
    """The id in lower case, or None if it does not have one of the prefixes and eight hexadecimal digits."""
    low = text.lower()
    return low if _ID.fullmatch(low) and low[:-8] in prefixes else None


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def node_id(zone: str, host: str) -> str:
    return f"{zone}/{host}"
