"""Deadlines and waiting on a TLS socket, for both ends of a connection.

One deadline covers a whole message, not each piece of it: a peer that drips a byte a second is as silent as one that
sends nothing.
"""

from __future__ import annotations

import select
import ssl
import time

CHUNK = 65536


class Closed(OSError):
    """The other side ended the connection."""


class Garbled(Exception):
    """The other side speaks something else."""


def read_exactly(sock: ssl.SSLSocket, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        sock.settimeout(_left(deadline))
        chunk = sock.recv(min(CHUNK, size - len(data)))
        if not chunk:
            raise Closed("the peer closed the connection")
        data += chunk
    return bytes(data)


def write_all(sock: ssl.SSLSocket, data: bytes, deadline: float) -> None:
    rest = memoryview(data)
    while rest:
        sock.settimeout(_left(deadline))
        rest = rest[sock.send(rest[:CHUNK]) :]


def readable(sock: ssl.SSLSocket, timeout: float) -> bool:
    """Whether something is there: the start of a message, or the end of the connection."""
    if sock.pending():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(timeout * 1000))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
