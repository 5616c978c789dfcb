"""The load generator: one process of its own, raw sockets, signed bytes made ahead.

    python load.py  ◄── pickled jobs on stdin, pickled results on stdout

A job is a list of whole HTTP requests and a number of connections.  Each connection has one request under way; the
next in the list goes to whichever is free.  Nothing is signed, built or decoded while the clock runs: a request is
one `send`, an answer is `recv` until its Content-Length is there.  Connections are kept alive; a server that closes
after each answer pays for its new connection, as any client of it would.  How much this process can do at best is
measured too (`trivial.py`), so that nobody has to believe that it is not the bottleneck.
"""

from __future__ import annotations

import pickle
import re
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
PATIENCE = 60.0  # seconds without a single byte


@dataclass(frozen=True)
class Job:
    host: str
    port: int
    requests: list[bytes] = field(repr=False)
    connections: int = 1
    keep: bool = False  # all bodies, not only the first and the last


@dataclass(frozen=True)
class Result:
    seconds: float
    latencies: list[float] = field(repr=False)  # in the order of the requests, seconds
    received: int  # bytes of bodies
    connects: int
    bodies: dict[int, bytes] = field(repr=False)  # number of the request → body
    refused: dict[int, tuple[int, bytes]] = field(repr=False)  # those whose status was not 200


class _Connection:
    __slots__ = ("body", "closes", "head", "kept", "number", "parts", "since", "sock", "status", "wanted")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None


def run(job: Job) -> Result:
    waiting = iter(range(len(job.requests)))
    last = len(job.requests) - 1
    latencies = [0.0] * len(job.requests)
    bodies: dict[int, bytes] = {}
    refused: dict[int, tuple[int, bytes]] = {}
    received = connects = 0
    poll = select.epoll()
    by_fd: dict[int, _Connection] = {}
    scratch = bytearray(1 << 20)
    window = memoryview(scratch)

    def begin(one: _Connection) -> bool:
        nonlocal connects
        number = next(waiting, None)
        if number is None:
            return False
        one.number, one.head, one.parts, one.body, one.status, one.wanted = (
            number,
            bytearray(),
            [],
            0,
            0,
            None,
        )
        one.since = time.perf_counter()
        if one.sock is None:
            one.sock = socket.create_connection((job.host, job.port), PATIENCE)
            one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connects += 1
            by_fd[one.sock.fileno()] = one
            poll.register(one.sock, select.EPOLLIN)
        one.sock.sendall(job.requests[number])
        return True

    def close(one: _Connection) -> None:
        if one.sock is not None:
            del by_fd[one.sock.fileno()]
            poll.unregister(one.sock)
            one.sock.close()
            one.sock = None

    def end(one: _Connection) -> bool:
        nonlocal received
        latencies[one.number] = time.perf_counter() - one.since
        received += one.body
        if one.status != 200:
            refused[one.number] = (one.status, b"".join(one.parts))
        elif one.kept:
            bodies[one.number] = b"".join(one.parts)
        if one.closes:
            close(one)
        return begin(one)

    def read(one: _Connection) -> bool:
        """Whether this connection still has something under way."""
        assert one.sock is not None
        while True:
            count = one.sock.recv_into(window)
            if not count:
                if one.status and one.wanted is None:  # a body that ends with the connection
                    one.closes = True
                    return end(one)
                raise ConnectionError(f"the server closed in the middle of request {one.number}")
            start = 0
            if not one.status:
                start = head(one, count)
                if not start:
                    continue
            if one.kept:
                one.parts.append(bytes(window[start:count]))
            one.body += count - start
            if one.wanted is not None and one.body >= one.wanted:
                return end(one)
            if count < len(scratch):
                return True

    def head(one: _Connection, count: int) -> int:
        """Where the body starts in what just came; 0 while the head is not whole."""
        before = len(one.head)
        one.head += window[:count]
        at = one.head.find(b"\r\n\r\n")
        if at < 0:
            return 0
        one.status = int(one.head[9:12])
        length = LENGTH.search(one.head, 0, at)
        one.wanted = int(length[1]) if length else None
        one.closes = one.head.startswith(b"HTTP/1.0") or CLOSES.search(one.head, 0, at) is not None
        one.kept = job.keep or one.status != 200 or one.number in (0, last)
        return at + 4 - before

    began = time.perf_counter()
    busy = sum(begin(_Connection()) for _ in range(min(job.connections, len(job.requests))))
    while busy:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise TimeoutError(f"no answer for {PATIENCE:g} s")
        for fd, _ in ready:
            busy -= not read(by_fd[fd])
    seconds = time.perf_counter() - began
    for one in list(by_fd.values()):
        close(one)
    poll.close()
    return Result(seconds, latencies, received, connects, bodies, refused)


def send(stream, value: object) -> None:  # type: ignore[no-untyped-def]
    data = pickle.dumps(value)
    stream.write(struct.pack("!Q", len(data)) + data)
    stream.flush()


def receive(stream) -> object:  # type: ignore[no-untyped-def]
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(stream.read(struct.unpack("!Q", head)[0]))


def main() -> None:
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            job = receive(stdin)
        except EOFError:
            return
        try:
            assert isinstance(job, Job)
            send(stdout, run(job))
        except Exception as error:
            send(stdout, error)


if __name__ == "__main__":
    from bench.load import main as loop  # under its own name: pickles carry it

    loop()
