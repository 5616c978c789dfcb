"""Where TLS connections wait until they have shown who they are.

cheroot shakes hands inside its accept loop, where one silent client stops everybody; and it has no deadline for a
request as a whole, so a few that drip hold all its threads.  Here

    accept loop ──► porch (one thread, nothing blocks): handshake, 5 s ─► head of the request, 10 s ──► worker threads
                                                                             watchdog cuts what drips ──┘

so whoever has no certificate of the cloud never gets near a worker thread, and whoever has one gets there with a whole
head: a worker waits for bodies only, which are an administrator's uploads and a ticket's downloads.  A connection
serves one request, so that there is no second head to wait for.  This module owns two threads per server.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cheroot import wsgi
from cheroot.makefile import MakeFile, StreamReader
from cheroot.server import HTTPConnection, HTTPRequest

HANDSHAKE = 5.0  # seconds
MOST_WAITING = 500  # beyond that the oldest has to go
HEADERS = 10.0  # seconds until a request's head is there, and again until the first byte of a body moves, either way
MOST_HEAD = 32768
SLOWEST = 8192  # bytes a second, on average, after that


@dataclass(slots=True)
class _Guest:
    """Somebody at the porch."""

    address: tuple[str, int]
    until: float
    shaken: bool = False
    head: bytearray = field(default_factory=bytearray)

    def complete(self) -> bool:
        """Of no use to wait longer: the head is there, or will never fit."""
        return b"\r\n\r\n" in self.head or len(self.head) > MOST_HEAD


class _Begun(socket.SocketIO):
    """What the porch has read already comes first."""

    def __init__(self, sock: socket.socket, head: bytes) -> None:
        super().__init__(sock, "r")
        self._head = memoryview(head)

    def readinto(self, buffer: Any) -> int | None:
        if not self._head:
            return super().readinto(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size] = self._head[:size]
        self._head = self._head[size:]
        return size


class _Reader(StreamReader):
    def __init__(self, sock: Any, head: bytes, size: int) -> None:
        super(StreamReader, self).__init__(_Begun(sock, head), size)
        self.bytes_read = 0


def _makefile(head: bytes, sock: Any, mode: str, size: int) -> Any:
    return _Reader(sock, head, size) if "r" in mode else MakeFile(sock, mode, size)


class _OneRequest(HTTPRequest):
    def parse_request(self) -> None:
        super().parse_request()
        self.close_connection = True


class WatchedConnection(HTTPConnection):
    """Knows what it is doing: for the watchdog, and for the application through the WSGI environment."""

    RequestHandlerClass = _OneRequest
    moved = 0  # bytes of bodies, both ways, in the request under way
    busy = False  # the application works and nothing is expected to move
    leave_by: float | None = None  # it was refused, and what it still sends is taken for a moment

    def take_leave(self, seconds: float) -> None:
        self.leave_by = time.monotonic() + seconds
        self.socket.settimeout(seconds)

    def communicate(self) -> Any:
        self.server.watched[self] = time.monotonic()
        try:
            return super().communicate()  # type: ignore[no-untyped-call]
        finally:
            self.server.watched.pop(self, None)


class PorchServer(wsgi.Server):
    """A cheroot WSGI server behind a porch.  ``admit`` turns the peer's certificate into WSGI environment entries."""

    ConnectionClass = WatchedConnection

    def __init__(
        self,
        address: tuple[str, int],
        application: Callable[..., Any],
        context: ssl.SSLContext,
        admit: Callable[[bytes], dict[str, Any]],
        threads: int,
    ) -> None:
        super().__init__(address, application, numthreads=threads, request_queue_size=1024, timeout=30)
        self.max_request_header_size = MOST_HEAD
        self.watched: dict[WatchedConnection, float] = {}
        self._context = context
        self._admit = admit
        self._arrivals: queue.SimpleQueue[tuple[socket.socket, tuple[str, int]]] = queue.SimpleQueue()
        self._bell, self._bell_rope = socket.socketpair()
        self._over = threading.Event()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Garbage from strangers is no news."""

    def prepare(self) -> None:
        super().prepare()
        self._manager: Any = vars(self)["_connections"]
        self._manager._from_server_socket = self._accept
        for work in (self._receive, self._watch):
            threading.Thread(target=work, name=f"porch-{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._bell_rope.send(b"x")
        super().stop()

    # ------------------------------------------------------------------------------------------ accept loop
    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            plain, address = listener.accept()
            plain.setblocking(False)
            self._arrivals.put((plain, address[:2]))
            self._bell_rope.send(b"x")

    # ------------------------------------------------------------------------------------------------- porch
    def _receive(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._bell, selectors.EVENT_READ)
        guests: dict[ssl.SSLSocket, _Guest] = {}
        while not self._over.is_set():
            for key, _ in selector.select(1.0):
                if key.fileobj is self._bell:
                    self._bell.recv(4096)
                    self._welcome(selector, guests)
                else:
                    self._attend(selector, guests, key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            for sock, guest in list(guests.items()):  # the longest there come first
                if now > guest.until or len(guests) > MOST_WAITING:
                    self._dismiss(selector, guests, sock)
        for sock in list(guests):
            self._dismiss(selector, guests, sock)
        selector.close()
        self._bell.close()
        self._bell_rope.close()

    def _welcome(self, selector: selectors.BaseSelector, guests: dict[ssl.SSLSocket, _Guest]) -> None:
        while True:
            try:
                plain, address = self._arrivals.get_nowait()
            except queue.Empty:
                return
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            except (OSError, ValueError):
                plain.close()
                continue
            guests[sock] = _Guest(address, time.monotonic() + HANDSHAKE)
            selector.register(sock, selectors.EVENT_READ)
            self._attend(selector, guests, sock)

    def _attend(
        self, selector: selectors.BaseSelector, guests: dict[ssl.SSLSocket, _Guest], sock: ssl.SSLSocket
    ) -> None:
        guest = guests[sock]
        try:
            if not guest.shaken:
                sock.do_handshake()
                guest.shaken, guest.until = True, time.monotonic() + HEADERS
            while not guest.complete():
                piece = sock.recv(MOST_HEAD)
                if not piece:
                    self._dismiss(selector, guests, sock)
                    return
                guest.head += piece
        except ssl.SSLWantReadError:
            selector.modify(sock, selectors.EVENT_READ)
            return
        except ssl.SSLWantWriteError:
            selector.modify(sock, selectors.EVENT_WRITE)
            return
        except (OSError, ValueError):
            self._dismiss(selector, guests, sock)
            return
        selector.unregister(sock)
        del guests[sock]
        try:
            self._hand_over(sock, guest)
        except Exception:  # whatever is wrong with this one, the others still wait at the porch
            sock.close()

    def _hand_over(self, sock: ssl.SSLSocket, guest: _Guest) -> None:
        sock.settimeout(self.timeout)
        connection = WatchedConnection(self, sock, partial(_makefile, bytes(guest.head)))
        connection.remote_addr, connection.remote_port = guest.address
        connection.ssl_env = {
            **self._admit(sock.getpeercert(binary_form=True) or b""),
            "euca.connection": connection,
            "wsgi.url_scheme": "https",
        }
        self.process_conn(connection)

    @staticmethod
    def _dismiss(
        selector: selectors.BaseSelector, guests: dict[ssl.SSLSocket, _Guest], sock: ssl.SSLSocket
    ) -> None:
        selector.unregister(sock)
        guests.pop(sock, None)
        sock.close()

    # ---------------------------------------------------------------------------------------------- watchdog
    def _watch(self) -> None:
        while not self._over.wait(1.0):
            now = time.monotonic()
            for connection, since in list(self.watched.items()):
                age = now - since
                stuck = age > HEADERS and not connection.busy and connection.moved < SLOWEST * age
                if stuck or (connection.leave_by is not None and now > connection.leave_by):
                    with contextlib.suppress(OSError):  # the plain socket's: ends what a worker waits for
                        socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
