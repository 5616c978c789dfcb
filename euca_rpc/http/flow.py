"""Bodies that are too large to be gathered: they flow through, a piece at a time, in threads of their own.

    gate: the head is here, and it is a POST to one of these paths ─► flow: a few threads, the others wait in line
                                                                        application reads `wsgi.input`, piece by piece

Such a connection never holds a worker thread, so whoever uploads slowly delays other uploads and nothing else.  It serves
one request.  The application decides by the head whether it reads on; a body that drips, or stands still, ends the
connection.  What is not read of a refused one is taken for a moment, so that its sender gets to read the answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

PIECE = 64 << 10
STALL = 30.0  # seconds without a byte, either way
PATIENCE = 10.0  # seconds of waiting for bytes, then they must have come at …
SLOWEST = 8192  # … so many a second, on average
IN_LINE = 16  # connections that wait for a thread
LINGER, DRAINED = 1.0, 8 << 20  # seconds and bytes of what nobody reads


@dataclass(frozen=True, slots=True)
class Flowing:
    paths: tuple[str, ...]  # of POST, without a query
    most: int  # bytes of a body
    threads: int = 2


class Body:
    """What cheroot reads from: first what the gate has read already, then the socket's own bytes."""

    def __init__(self, connection: Any, begun: bytearray) -> None:
        self._connection, self._buffer = connection, begun
        self._waited = 0.0  # seconds, for bytes of the client: how slow the application is does not count
        self._moved = 0
        self.bytes_read = 0

    def readline(self, size: int | None = None) -> bytes:
        """Of the head, which is here."""
        end = self._buffer.find(b"\n") + 1 or len(self._buffer)
        return self._take(end if size is None or size < 0 else min(end, size))

    def read(self, size: int | None = None) -> bytes:
        """At most ``size`` bytes and at most `PIECE`; empty at the end of the connection.  TimeoutError if they drip."""
        wanted = PIECE if size is None or size < 0 else min(size, PIECE)
        return self._take(wanted) if self._buffer or not wanted else self._receive(wanted)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.bytes_read += len(taken)
        return taken

    def _receive(self, size: int) -> bytes:
        self._connection.wfile.flush()  # the client may wait for our 100 Continue
        began = time.monotonic()
        piece: bytes = self._connection.socket.recv(size)
        self._waited += time.monotonic() - began
        self._moved += len(piece)
        self.bytes_read += len(piece)
        if self._waited > PATIENCE and self._moved < SLOWEST * self._waited:
            raise TimeoutError("timed out")
        return piece

    def has_data(self) -> bool:
        return bool(self._buffer)

    def close(self) -> None:
        self._buffer.clear()


class _Wide:
    """The server as a connection that flows sees it: with another limit."""

    def __init__(self, server: Any, most: int) -> None:
        self._server, self.max_request_body_size = server, most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class Flow:
    def __init__(self, server: Any, serve: Callable[[Any], object], said: Flowing) -> None:
        """``serve``: reads one request from a connection and answers it."""
        self._server, self._serve, self._said = server, serve, said
        self._lines = tuple(f"POST {path} HTTP/1.1\r\n".encode() for path in said.paths)
        self._room = threading.BoundedSemaphore(said.threads + IN_LINE)
        self._pool = ThreadPoolExecutor(said.threads, "flow")
        self._under_way: set[Any] = set()

    def wants(self, buffer: bytearray) -> bool:
        return buffer.startswith(self._lines) and b"\r\n\r\n" in buffer

    def take(self, connection: Any) -> None:
        """From the gate, which is done with it."""
        if not self._room.acquire(blocking=False):
            connection.close()
            return
        try:
            self._pool.submit(self._perform, connection)
        except RuntimeError:  # it is being stopped
            self._end(connection)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._under_way):
            with contextlib.suppress(OSError):  # the plain socket's: ends what a thread waits for
                socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)

    def _perform(self, connection: Any) -> None:
        self._under_way.add(connection)
        try:
            connection.rfile = Body(connection, connection.rfile.buffer)
            connection.server = _Wide(self._server, self._said.most)
            connection.socket.settimeout(STALL)
            self._serve(connection)
            self._drain(connection.socket)
        except OSError:
            pass  # the client went away
        finally:
            self._under_way.discard(connection)
            self._end(connection)

    def _end(self, connection: Any) -> None:
        with contextlib.suppress(OSError):
            connection.close()
        self._room.release()

    @staticmethod
    def _drain(sock: socket.socket) -> None:
        until, left = time.monotonic() + LINGER, DRAINED
        sock.settimeout(LINGER)
        while left > 0 and time.monotonic() < until and (piece := sock.recv(PIECE)):
            left -= len(piece)
