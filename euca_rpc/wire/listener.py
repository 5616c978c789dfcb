"""The door of a daemon: one listening socket, a thread for each connection, limits that one peer cannot use up.

    accept ─► handshake (own thread, one deadline for all of it) ─► held ─► serve(held) until it returns

Accepting never waits for anybody: the TLS handshake happens in the connection's own thread.  Connections that have not
shown a certificate are few and short-lived: when there are too many, the oldest goes.  Of the others, one peer may
hold only so many; when the whole door is full the longest idle one goes, so idle pools of other peers cannot keep a
new caller out.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from euca_rpc.errors import EucaError
from euca_rpc.wire.tls import Address, at

log = logging.getLogger(__name__)

HANDSHAKE_S = 5.0  # a handshake takes two round trips; a loaded host far less than this
FAREWELL_S = 0.5
_REFUSED = "refused a connection from %s to port %d: %s"
PENDING = 200  # without a certificate: more than a site has daemons, fewer than a process has descriptors


@dataclass(slots=True, eq=False)
class Held:
    """One connection.  Whoever serves it says when it rests and claims it back before work: one that rests may be
    given up for a newcomer, one that works is not."""

    sock: ssl.SSLSocket
    address: Address
    who: str = ""
    resting_since: float | None = None
    _gone: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rest(self) -> None:
        self.resting_since = time.monotonic()

    def claim(self) -> bool:
        """False: it was given up meanwhile; what came last must not be begun."""
        with self._lock:
            self.resting_since = None
            return not self._gone

    def give_up(self) -> bool:
        with self._lock:
            if self.resting_since is None:
                return False
            self._gone = True
        self.shut()
        return True

    def shut(self) -> None:
        """Wakes the thread that reads from it; that thread closes it."""
        _shut(self.sock)


class Listener:
    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        name_of: Callable[[ssl.SSLSocket], str],
        serve: Callable[[Held], None],
        *,
        limit: int = 256,
        per_peer: int = 64,
    ) -> None:
        self._bind = (host, port)
        self._context = context
        self._name_of = name_of
        self._serve = serve
        self._limit = limit
        self._per_peer = per_peer
        self._lock = threading.Lock()
        self._pending: dict[socket.socket, None] = {}  # in order of arrival
        self._held: list[Held] = []
        self._socket: socket.socket | None = None
        self._threads: set[threading.Thread] = set()
        self.port = port

    def start(self) -> None:
        family = socket.AF_INET6 if ":" in self._bind[0] else socket.AF_INET
        try:
            listening = socket.create_server(self._bind, family=family, backlog=1024)
        except OSError as error:
            raise EucaError(
                "config_invalid",
                f"cannot listen on {at(self._bind)}: {error.strerror}; is the daemon running already, or is address"
                " or port of another's?",
            ) from None
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the accepted ones inherit it
        self.port = listening.getsockname()[1]
        self._socket = listening
        self._spawn(self._accept, listening)

    def stop(self) -> None:
        """No thread of it is left in a call when this returns, unless a call takes longer than two seconds."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        _shut(listening)  # wakes accept; close alone would not
        listening.close()
        with self._lock:
            waiting = [*self._pending, *(held.sock for held in self._held)]
        for sock in waiting:
            _shut(sock)
        until = time.monotonic() + 2.0
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def held(self) -> int:
        return len(self._held)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        def run() -> None:
            try:
                target(*args)
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name=f"door-{self.port}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while self._socket is listening:
            try:
                plain, address = listening.accept()
            except OSError as error:
                if self._socket is not listening:
                    return
                log.warning("cannot accept on port %d: %s", self.port, error)
                time.sleep(0.05)  # out of descriptors: give the connections that end a moment to
                continue
            with self._lock:
                oldest = next(iter(self._pending)) if len(self._pending) >= PENDING else None
                self._pending[plain] = None
            if oldest is not None:
                _shut(oldest)
            try:
                self._spawn(self._handle, plain, address[:2])
            except RuntimeError as error:  # no more threads
                log.warning("refused %s: %s", at(address), error)
                self._forget(plain)
                plain.close()

    def _forget(self, plain: socket.socket) -> None:
        with self._lock:
            self._pending.pop(plain, None)

    def _handle(self, plain: socket.socket, address: Address) -> None:
        plain.settimeout(HANDSHAKE_S)
        sock: ssl.SSLSocket | None = None
        try:
            # not part of wrap_socket: it detaches `plain`, and a limit must be able to shut what is half shaken
            sock = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._pending.pop(plain, None)
                self._pending[sock] = None
            sock.do_handshake()
            held = Held(sock, address, self._name_of(sock))
        except Exception as error:  # whatever strangers can provoke ends with their connection
            foreign = isinstance(
                error, ssl.SSLCertVerificationError | EucaError
            )  # the rest is scanners and timeouts
            log.log(logging.WARNING if foreign else logging.INFO, _REFUSED, at(address), self.port, error)
            if isinstance(error, ssl.SSLError) and sock is not None:
                _let_read(sock)
            (sock or plain).close()
            return
        finally:
            self._forget(plain)
            if sock is not None:
                self._forget(sock)
        try:
            if self._admit(held):
                self._serve(held)
        except Exception:
            log.exception("serving %s at %s failed", held.who, at(address))
        finally:
            with self._lock:
                if held in self._held:
                    self._held.remove(held)
            held.shut()
            sock.close()

    def _admit(self, held: Held) -> bool:
        with self._lock:
            same = [other for other in self._held if other.who == held.who]
            crowd = same if len(same) >= self._per_peer else self._held
            if crowd is same or len(self._held) >= self._limit:
                given_up = next((other for other in sorted(crowd, key=_rest) if other.give_up()), None)
                if given_up is None:
                    log.warning("refused %s at %s: all of its connections work", held.who, at(held.address))
                    return False
                self._held.remove(given_up)
            self._held.append(held)
        return True


def _rest(held: Held) -> float:
    return held.resting_since or float("inf")


def _let_read(sock: socket.socket) -> None:
    """Leaves the peer time to read why: closing with its next message unread would reset what it has not read yet."""
    until = time.monotonic() + FAREWELL_S
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
        sock.settimeout(FAREWELL_S)
        while time.monotonic() < until and socket.socket.recv(sock, 4096):
            pass


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # past the TLS layer: its own shutdown would want the other thread's state
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
