"""Where TLS connections wait until they have shown who they are.

cheroot shakes hands inside its accept loop, where one silent client stops everybody; and it has no deadline for a
request as a whole, so a few that drip hold all its threads.  Here

    accept loop ──► porch (one thread, non-blocking handshakes, 5 s each) ──► cheroot's selector ──► worker threads
                                                                                     watchdog cuts what drips ──┘

so whoever has no certificate of the cloud never gets near a worker thread.  This module owns two threads per server.
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
from typing import Any

from cheroot import wsgi
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection

HANDSHAKE = 5.0  # seconds
MOST_WAITING = 500  # beyond that the oldest has to go
HEADERS = 10.0  # seconds until the first byte of a body moves, either way
SLOWEST = 8192  # bytes a second, on average, after that


class WatchedConnection(HTTPConnection):
    """Knows what it is doing: for the watchdog, and for the application through the WSGI environment."""

    moved = 0  # bytes of bodies, both ways, in the request under way
    busy = False  # the application works and nothing is expected to move

    def communicate(self) -> Any:
        self.moved, self.busy = 0, False
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
        self.max_request_header_size = 32768
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
        waiting: dict[ssl.SSLSocket, tuple[float, tuple[str, int]]] = {}  # oldest first
        while not self._over.is_set():
            for key, _ in selector.select(1.0):
                if key.fileobj is self._bell:
                    self._bell.recv(4096)
                    self._welcome(selector, waiting)
                else:
                    self._shake(selector, waiting, key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            for sock, (since, _) in list(waiting.items()):
                if now - since > HANDSHAKE or len(waiting) > MOST_WAITING:
                    self._dismiss(selector, waiting, sock)
        for sock in list(waiting):
            self._dismiss(selector, waiting, sock)
        selector.close()
        self._bell.close()
        self._bell_rope.close()

    def _welcome(self, selector: selectors.BaseSelector, waiting: dict[ssl.SSLSocket, Any]) -> None:
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
            waiting[sock] = (time.monotonic(), address)
            selector.register(sock, selectors.EVENT_READ)
            self._shake(selector, waiting, sock)

    def _shake(
        self, selector: selectors.BaseSelector, waiting: dict[ssl.SSLSocket, Any], sock: ssl.SSLSocket
    ) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            selector.modify(sock, selectors.EVENT_READ)
            return
        except ssl.SSLWantWriteError:
            selector.modify(sock, selectors.EVENT_WRITE)
            return
        except (OSError, ValueError):
            self._dismiss(selector, waiting, sock)
            return
        selector.unregister(sock)
        _, address = waiting.pop(sock)
        try:
            self._hand_over(sock, address)
        except Exception:  # whatever is wrong with this one, the others still wait at the porch
            sock.close()

    def _hand_over(self, sock: ssl.SSLSocket, address: tuple[str, int]) -> None:
        sock.settimeout(self.timeout)
        connection = WatchedConnection(self, sock, MakeFile)
        connection.remote_addr, connection.remote_port = address
        connection.ssl_env = {
            **self._admit(sock.getpeercert(binary_form=True) or b""),
            "euca.connection": connection,
            "wsgi.url_scheme": "https",
        }
        self._manager.put(connection)

    @staticmethod
    def _dismiss(
        selector: selectors.BaseSelector, waiting: dict[ssl.SSLSocket, Any], sock: ssl.SSLSocket
    ) -> None:
        selector.unregister(sock)
        waiting.pop(sock, None)
        sock.close()

    # ---------------------------------------------------------------------------------------------- watchdog
    def _watch(self) -> None:
        while not self._over.wait(1.0):
            now = time.monotonic()
            for connection, since in list(self.watched.items()):
                age = now - since
                if age > HEADERS and not connection.busy and connection.moved < SLOWEST * age:
                    with contextlib.suppress(OSError):  # the plain socket's: ends what a worker waits for
                        socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
