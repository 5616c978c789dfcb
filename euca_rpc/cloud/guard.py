"""Who asks too often waits, and nobody is kept out by what others do (`docs/decisions`, "Log-in under attack").

Token buckets in memory, measured by the monotonic clock: full at first, refilled evenly.  A refused attempt costs nothing
else: no hashing, no write.

    a browser that was here before   its own bucket, for this user alone
    any other                        one bucket per user name and origin, one per origin
    requests for accounts, recovery  one per origin; recovery also one per name, which nobody notices

No bucket counts a user name alone: whoever fails a thousand times as somebody else, from elsewhere, takes nothing from
that person's log-in.  An origin is an IPv4 address or an IPv6 /64.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from threading import Lock

from euca_rpc.clock import MINUTE, SECOND, Clock, Micros
from euca_rpc.errors import EucaError

MOST = 20_000  # keys of one kind that are remembered; the longest unused is forgotten first


class Buckets:
    def __init__(self, clock: Clock, size: int, refill: Micros) -> None:
        self._clock, self._full, self._refill = (
            clock,
            size * refill,
            refill,
        )  # refill: what one token costs, in time
        self._levels: OrderedDict[str, tuple[Micros, Micros]] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str) -> Micros:
        """0 if there was a token, which is taken; else how long until there is one."""
        with self._lock:
            level = self._level(key)
            enough = level >= self._refill
            self._keep(key, level - self._refill if enough else level)
            return 0 if enough else self._refill - level

    def give_back(self, key: str) -> None:
        with self._lock:
            self._keep(key, min(self._full, self._level(key) + self._refill))

    def _level(self, key: str) -> Micros:
        now = self._clock.monotonic()
        level, at = self._levels.get(key, (self._full, now))
        return min(self._full, level + now - at)

    def _keep(self, key: str, level: Micros) -> None:
        self._levels[key] = (level, self._clock.monotonic())
        self._levels.move_to_end(key)
        if len(self._levels) > MOST:
            self._levels.popitem(last=False)


class Guard:
    def __init__(self, clock: Clock) -> None:
        self._device = Buckets(clock, 10, MINUTE)
        self._pair = Buckets(clock, 5, MINUTE)
        self._origin = Buckets(clock, 30, 20 * SECOND)
        self._apply = Buckets(clock, 5, 10 * MINUTE)
        self._recover = Buckets(clock, 10, 5 * MINUTE)
        self._mailed = Buckets(clock, 2, 10 * MINUTE)
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def log_in(self, address: str, user_name: str, device: str) -> None:
        """``device``: what tells a known browser of this user from others; "" = none."""
        for buckets, key in self._keys(address, user_name, device):
            if wait := buckets.take(key):
                raise _throttled(wait, "log-ins that failed")
        self._failed(user_name)

    def logged_in(self, address: str, user_name: str, device: str) -> int:
        """It was the right password: the attempt counts for nothing.  How many failed under this name before it."""
        for buckets, key in self._keys(address, user_name, device):
            buckets.give_back(key)
        with self._lock:
            return self._failures.pop(user_name, 1) - 1

    def apply(self, address: str) -> None:
        if wait := self._apply.take(origin(address)):
            raise _throttled(wait, "requests for accounts")

    def recover(self, address: str, user_name: str) -> bool:
        """Whether a mail may go out for this name now."""
        if wait := self._recover.take(origin(address)):
            raise _throttled(wait, "requests for links")
        return not self._mailed.take(user_name)

    def _keys(self, address: str, user_name: str, device: str) -> list[tuple[Buckets, str]]:
        if device:
            return [(self._device, f"{user_name} {device}")]
        return [(self._pair, f"{user_name} {origin(address)}"), (self._origin, origin(address))]

    def _failed(self, user_name: str) -> None:
        with self._lock:
            self._failures[user_name] = self._failures.get(user_name, 0) + 1
            self._failures.move_to_end(user_name)
            if len(self._failures) > MOST:
                self._failures.popitem(last=False)


def origin(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _throttled(wait: Micros, what: str) -> EucaError:
    seconds = -(-wait // SECOND)
    return EucaError(
        "throttled", f"too many {what} from here: try again in {seconds} s", facts={"retry_after": seconds}
    )
