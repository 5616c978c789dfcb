"""Passwords: scrypt, a salt for each, and an answer that takes as long for an unknown user as for a known one.

    scrypt$LOG2_N$R$P$SALT$KEY      salt and key in base64

N = 2^15, r = 8, p = 1: 32 MiB and some 90 ms of one core of 2020.  A stored hash names its own cost, so raising `COST` makes
older ones stronger as their owners log in (`outdated`).  Hashing lets go of the interpreter and happens on the thread that
asks, never on the journal's.  At most `AT_ONCE` run at the same time, and of those whose browser is not known one less, so
that a flood of strangers leaves room for people who work here.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids

SHORTEST, LONGEST = 10, 200
AT_ONCE = 4
_SALT, _KEY = 16, 32


@dataclass(frozen=True, slots=True)
class Cost:
    log2_n: int = 15
    r: int = 8
    p: int = 1


COST = Cost()


class Passwords:
    def __init__(self, ids: Ids, cost: Cost = COST) -> None:
        self._ids, self._cost = ids, cost
        self._busy = 0
        self._lock = Lock()
        self._nobody = _text(cost, bytes(_SALT), bytes(_KEY))  # no password has this key

    def hash(self, password: str, known: bool = False) -> str:
        """throttled while too many others are hashed."""
        salt = self._ids.bits(8 * _SALT).to_bytes(_SALT, "big")
        with self._turn(known):
            return _text(self._cost, salt, _key(password, salt, self._cost))

    def verify(self, password: str, stored: str | None, known: bool = False) -> bool:
        """``stored`` None: nobody's; takes as long and is never right."""
        cost, salt, key = _parts(stored or self._nobody)
        with self._turn(known):
            return hmac.compare_digest(_key(password, salt, cost), key)

    def outdated(self, stored: str) -> bool:
        return _parts(stored)[0] != self._cost

    @contextmanager
    def _turn(self, known: bool) -> Iterator[None]:
        with self._lock:
            if self._busy >= AT_ONCE - (not known):
                raise EucaError(
                    "throttled", "too many people log in at this moment: try again", facts={"retry_after": 2}
                )
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def check(password: str, *names: str) -> None:
    """Long enough, not all the same, not made of the user's names.  password_weak says which."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise EucaError("password_weak", f"the password must have {SHORTEST} to {LONGEST} characters")
    low = password.casefold()
    if len(set(low)) < 5:
        raise EucaError(
            "password_weak", "the password repeats a few characters: use five different ones at least"
        )
    words = {word for name in names for word in (name.casefold(), *name.casefold().split()) if len(word) >= 4}
    if any(word in low for word in words):
        raise EucaError("password_weak", "the password contains the user name or a part of the full name")


def _key(password: str, salt: bytes, cost: Cost) -> bytes:
    typed = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    n = 1 << cost.log2_n
    memory = 129 * n * cost.r  # what scrypt takes (128 n r) and a little: the library's own limit is 32 MiB
    return hashlib.scrypt(typed, salt=salt, n=n, r=cost.r, p=cost.p, maxmem=memory + (1 << 20), dklen=_KEY)


def _text(cost: Cost, salt: bytes, key: bytes) -> str:
    return f"scrypt${cost.log2_n}${cost.r}${cost.p}${b64encode(salt).decode()}${b64encode(key).decode()}"


def _parts(stored: str) -> tuple[Cost, bytes, bytes]:
    _, log2_n, r, p, salt, key = stored.split("$")
    return Cost(int(log2_n), int(r), int(p)), b64decode(salt), b64decode(key)
