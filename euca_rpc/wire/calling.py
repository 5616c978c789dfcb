"""Calling another daemon: find it, keep a few checked connections, answer with a value or an EucaError.

    call ─► idle line to that name? ──no──► directory.find ─► connect ─► (failed: forget, find again, once)
              │ yes: still open, still trusted                               │
              └───────────────────────► ask ◄────────────────────────────────┘

A line belongs to one thread at a time.  Nothing is ever sent twice by itself unless the contract's row says so: a call
whose answer was lost may have happened.
"""

from __future__ import annotations

import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from euca_rpc.clock import SystemClock, moment
from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.framing import Garbled, readable
from euca_rpc.wire.pki import Identity, Peer, PeerName, Revoked, nothing_revoked
from euca_rpc.wire.tls import Address, Contexts, at, check_peer, connect, distrust, peer_of, reason_of

Calls = Mapping[tuple[str, str], contracts.Call]

IDLE_S = 30.0  # well under what the server waits: a pooled line is closed by us, not under us
IDLE_LINES = 8  # per peer


class Finder(Protocol):
    """What a caller needs of a directory."""

    def find(self, object_name: str) -> Address: ...
    def forget(self, object_name: str) -> None: ...


class Fixed:
    """A directory that knows its addresses beforehand."""

    def __init__(self, addresses: Mapping[str, Address]) -> None:
        self._addresses = dict(addresses)

    def find(self, object_name: str) -> Address:
        try:
            return self._addresses[object_name]
        except KeyError:
            raise EucaError("unreachable", f"no address of {object_name} is configured") from None

    def forget(self, object_name: str) -> None:
        """A fixed address has no better one."""


class Line(Protocol):
    """Asks one object over one open connection (`pyro.Line`)."""

    def ask(self, method: str, args: Mapping[str, Any], deadline: float) -> Any:
        """The value, or EucaError (the peer's, or nothing was sent), TimeoutError, OSError (broken), Garbled."""
        ...

    def hang_up(self) -> None: ...


@dataclass(slots=True)
class _Kept:
    line: Line
    sock: ssl.SSLSocket
    peer: Peer
    address: Address
    since: float = field(default_factory=time.monotonic)


class Caller(ABC):
    """All of it but the protocol on the line, which `pyro.Remote` adds."""

    @abstractmethod
    def _open(self, object_name: str, sock: ssl.SSLSocket, peer: Peer, address: Address) -> Line: ...

    def __init__(
        self,
        identity: Identity,
        directory: Finder,
        *,
        revoked: Revoked = nothing_revoked,
        calls: Calls = contracts.BY_OBJECT,
    ) -> None:
        self._contexts = Contexts(identity)
        self._directory = directory
        self._revoked = revoked
        self._calls = calls
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Kept]] = {}

    def call(
        self, object_name: str, method: str, args: Mapping[str, Any], timeout: float | None = None
    ) -> Any:
        expected = PeerName.of_object(object_name)
        row = self._calls.get((expected.role, method))
        if row is None:
            raise EucaError("action_unknown", f"no contract has a call {object_name}.{method}")
        patience = row.timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        kept = self._take(expected, deadline)
        try:
            return self._ask(kept, expected, method, args, deadline, patience)
        except EucaError as error:
            if not row.retry or error.symbol != "unreachable" or time.monotonic() >= deadline:
                raise
        return self._ask(self._dial(expected, deadline), expected, method, args, deadline, patience)

    def use(self, identity: Identity) -> None:
        """A renewed certificate: lines made with the old one are not used again."""
        self._contexts.use(identity)
        self.close()

    def close(self) -> None:
        with self._lock:
            lines = [kept for each in self._idle.values() for kept in each]
            self._idle.clear()
        for kept in lines:
            kept.line.hang_up()

    def _take(self, expected: PeerName, deadline: float) -> _Kept:
        while True:
            with self._lock:
                idle = self._idle.get(expected.object_name)
                kept = idle.pop() if idle else None
            if kept is None:
                return self._dial(expected, deadline)
            if time.monotonic() - kept.since < IDLE_S and not readable(kept.sock, 0) and self._trusted(kept):
                return kept
            kept.line.hang_up()

    def _trusted(self, kept: _Kept) -> bool:
        try:
            self._check(kept)
        except EucaError:
            return False
        return True

    def _check(self, kept: _Kept) -> None:
        cloud_id = self._contexts.identity.cloud_id
        check_peer(kept.peer, kept.address, cloud_id, self._revoked, SystemClock().wall())

    def _give_back(self, name: str, kept: _Kept) -> None:
        kept.since = time.monotonic()
        with self._lock:
            idle = self._idle.setdefault(name, [])
            idle.append(kept)
            stale = len(idle) > IDLE_LINES or kept.since - idle[0].since > IDLE_S
            surplus = idle.pop(0) if stale else None
        if surplus:
            surplus.line.hang_up()

    def _dial(self, expected: PeerName, deadline: float) -> _Kept:
        name = expected.object_name
        address = self._directory.find(name)
        try:
            return self._connect(expected, address, deadline)
        except EucaError:
            # gone, or somebody else answers there: has it moved?
            self._directory.forget(name)
            moved = self._directory.find(name)
            if moved == address or time.monotonic() >= deadline:
                raise
        return self._connect(expected, moved, deadline)

    def _connect(self, expected: PeerName, address: Address, deadline: float) -> _Kept:
        left = max(0.05, deadline - time.monotonic())
        sock = connect(self._contexts, address, expected, self._revoked, left)
        peer = peer_of(sock)
        return _Kept(self._open(expected.object_name, sock, peer, address), sock, peer, address)

    def _ask(
        self,
        kept: _Kept,
        expected: PeerName,
        method: str,
        args: Mapping[str, Any],
        deadline: float,
        patience: float,
    ) -> Any:
        asked = f"{expected.object_name} at {at(kept.address)}"
        now = moment(SystemClock().wall())
        try:
            value = kept.line.ask(method, args, deadline)
        except EucaError:
            self._give_back(expected.object_name, kept)  # the peer answered, or nothing was sent
            raise
        except TimeoutError:
            kept.line.hang_up()
            raise EucaError(
                "unreachable", f"{asked} did not answer {method} within {patience:g} s (asked at {now})"
            ) from None
        except OSError as error:
            kept.line.hang_up()
            raise distrust(error, asked, self._contexts.identity) or EucaError(
                "unreachable",
                f"the connection to {asked} broke before it answered {method} (asked at {now}): {reason_of(error)}",
            ) from None
        except Garbled as error:
            kept.line.hang_up()
            raise EucaError(
                "incompatible", f"{asked} answers {method} in another protocol: {error}"
            ) from None
        except BaseException:
            kept.line.hang_up()  # an answer may still come: nobody else must read it as theirs
            raise
        self._give_back(expected.object_name, kept)
        return value
