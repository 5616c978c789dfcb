"""The gate: no worker thread ever waits for a client's bytes.

cheroot gives each new connection to a worker, which then blocks until the request has come; ten slow clients are
enough to stop it.  Here one thread reads from all connections that owe a request, without blocking, and hands a
connection to the workers when a whole request (head and body) is in memory:

    accepted, or kept alive ──► gate: bytes gathered ──complete, or hopeless──► worker: parse, answer
                                      └── not complete in time ──► closed

A connection that was answered and has not begun its next request is *idle*: it may stay so for longer than a request
may take, because clients keep connections and a client may meet its connection just being closed.  Idle ones are the
first to go when there are too many.

A body that is too large to be gathered passes by: as soon as its head is here, `flow` has the connection.

TLS handshakes happen here as well, as part of reading, so that a silent connection stalls nobody.  The same thread
shuts connections whose answer is not worked out and taken in time.  A request is *hopeless* when it is too large or
not HTTP: cheroot then refuses it with what there is.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import resource
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from euca_rpc.http.flow import Flow

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024
# Connections that may owe a request; beyond it the longest waiting is closed.  Descriptors must remain for all else.
MOST_WAITING = min(768, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} [^\r\n]+ HTTP/1\.[01]\r\n")
log = logging.getLogger("euca.http")


class Gathered:
    """What cheroot reads from: only bytes that have already come."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.bytes_read = 0
        self.closed = False  # asked for by cheroot when it stops
        self.continued = False  # 100 Continue was sent for the request being gathered

    def readline(self, size: int | None = None) -> bytes:
        end = self.buffer.find(b"\n") + 1 or len(self.buffer)
        return self._take(end if size is None or size < 0 else min(end, size))

    def read(self, size: int | None = None) -> bytes:
        return self._take(len(self.buffer) if size is None or size < 0 else size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        self.bytes_read += len(taken)
        return taken

    def has_data(self) -> bool:
        return bool(self.buffer)

    def close(self) -> None:
        self.closed = True
        self.buffer.clear()

    def ready(self) -> bool:
        """Is a whole request here, or enough to know that there will be none?"""
        head = self.buffer.find(b"\r\n\r\n", 0, MAX_HEAD + 4)
        if head < 0:
            line = self.buffer.find(b"\r\n")
            return len(self.buffer) > MAX_HEAD or (line > 0 and not _REQUEST_LINE.match(self.buffer))
        lengths = _LENGTH.findall(self.buffer, 0, head + 2)
        if len(lengths) != 1 or _CHUNKED.search(self.buffer, 0, head + 2):
            return True
        wanted = int(lengths[0])
        return wanted > MAX_BODY or len(self.buffer) >= head + 4 + wanted

    def expects(self) -> bool:
        """Does the client wait for 100 Continue before it sends the body?"""
        return not self.continued and _EXPECT.search(self.buffer) is not None


class Written(io.RawIOBase):
    """What cheroot writes to: small writes are gathered, so that head and body of an answer leave together."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.bytes_written = 0
        self._held = b""

    def write(self, data: Any) -> int:
        if len(self._held) + len(data) <= 65536:
            self._held += data
        else:
            self.flush()
            self.socket.sendall(data)
        self.bytes_written += len(data)
        return len(data)

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self.socket.sendall(held)


def makefile(sock: socket.socket, mode: str = "rb", _size: int = -1) -> Gathered | Written:
    return Gathered() if "r" in mode else Written(sock)


class Gate:
    def __init__(
        self,
        hand_over: Callable[[Any], None],
        request_seconds: float,
        answer_seconds: float,
        idle_seconds: float,
        flow: Flow | None = None,
    ) -> None:
        self._hand_over, self._flow = hand_over, flow
        self._request_seconds, self._answer_seconds = request_seconds, answer_seconds
        self._idle_seconds = idle_seconds
        self._arrivals: deque[tuple[Any, bool]] = deque()  # connection, whether it was kept alive
        self._waiting: dict[Any, float] = {}  # connection → by when its request must be here; oldest first
        self._idle: dict[Any, float] = {}  # connection → by when its next request must begin; oldest first
        self._working: dict[Any, float] = {}  # connection → by when its answer must be out
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._ring()
        if self._thread.is_alive():
            self._thread.join(5)

    def admit(self, conn: Any) -> None:
        """From any thread: this connection owes a request."""
        self._arrivals.append((conn, False))
        self._ring()

    def keep(self, conn: Any) -> None:
        """From any thread: this connection was answered and may make another request."""
        self._arrivals.append((conn, True))
        self._ring()

    def working(self, conn: Any) -> None:
        self._working[conn] = time.monotonic() + self._answer_seconds

    def done(self, conn: Any) -> None:
        self._working.pop(conn, None)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._rope.send(b".")

    # -------------------------------------------------------------------------------------- the gate's thread
    def _run(self) -> None:
        while not self._stopping:
            try:
                for key, _ in self._selector.select(0.5):
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            self._bell.recv(4096)
                    else:
                        self._gather(key.data)
                while self._arrivals:
                    self._enter(*self._arrivals.popleft())
                self._sweep(time.monotonic())
            except Exception:
                log.exception("the gate goes on after an error")
        for conn in (*self._waiting, *self._idle, *(conn for conn, _ in self._arrivals)):
            self._drop(conn)
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def _enter(self, conn: Any, kept: bool) -> None:
        conn.socket.settimeout(0)
        conn.rfile.continued = False
        if conn.rfile.has_data() and self._may_pass(conn):  # a pipelined request
            self._pass(conn)
            return
        while len(self._idle) + len(self._waiting) >= MOST_WAITING:
            self._drop(next(iter(self._idle or self._waiting)))
        if kept and not conn.rfile.has_data():
            self._idle[conn] = time.monotonic() + self._idle_seconds
        else:
            self._waiting[conn] = time.monotonic() + self._request_seconds
        self._selector.register(conn.socket, selectors.EVENT_READ, conn)
        self._gather(conn)  # the bytes are often there already

    def _gather(self, conn: Any) -> None:
        rfile = conn.rfile
        try:
            # At most a few rounds, so that one eager client does not keep the others waiting.
            for _ in range(8):
                piece = conn.socket.recv(65536)
                if not piece:
                    self._drop(conn)
                    return
                rfile.buffer += piece
                if self._idle.pop(conn, None) is not None:  # its next request has begun
                    self._waiting[conn] = time.monotonic() + self._request_seconds
                if self._may_pass(conn):
                    self._leave(conn)
                    self._pass(conn)
                    return
            if isinstance(conn.socket, ssl.SSLSocket) and conn.socket.pending():
                self._arrivals.append((conn, False))
                self._leave(conn)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if rfile.expects():
                rfile.continued = True
                with contextlib.suppress(OSError):
                    conn.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        except (OSError, ValueError):
            self._drop(conn)

    def _leave(self, conn: Any) -> None:
        self._waiting.pop(conn, None)
        self._idle.pop(conn, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(conn.socket)

    def _may_pass(self, conn: Any) -> bool:
        return (self._flow is not None and self._flow.wants(conn.rfile.buffer)) or conn.rfile.ready()

    def _pass(self, conn: Any) -> None:
        if self._flow is not None and self._flow.wants(conn.rfile.buffer):
            self._flow.take(conn)
            return
        conn.socket.settimeout(self._answer_seconds)
        self._hand_over(conn)

    def _drop(self, conn: Any) -> None:
        self._leave(conn)
        with contextlib.suppress(OSError):
            conn.close()

    def _sweep(self, now: float) -> None:
        for connections in (self._waiting, self._idle):
            for conn, until in list(connections.items()):
                if until > now:
                    break
                self._drop(conn)
        for conn, until in list(self._working.items()):
            if until <= now:
                self._working.pop(conn, None)
                with contextlib.suppress(OSError):
                    conn.socket.shutdown(socket.SHUT_RDWR)
