"""The gate: no thread ever waits for a client's bytes.

cheroot gives each new connection to a worker, which then blocks until the request has come; ten slow clients are
enough to stop it.  Here one thread reads from all connections that owe a request, without blocking, and does something
about it only when a whole request (head and body) is in memory:

    accepted, or kept alive ──► gate: bytes gathered ──brief──────────────► answered here  ──► written, as it is taken
                                      │                                     └── waits for a commit, with others
                                      ├── any other, complete or hopeless ──► worker: parse, answer
                                      └── not complete in time ──► closed

What is *brief* the application says by the look of it; it is answered by the thread that read it (see `lead` for when it
is wrong about that).  Such an answer may come in `Steps`: what they wait for is brought on its way when every request
that is here has been looked at, so that one commit is for all of them.

A connection that was answered and has not begun its next request is *idle*: it may stay so for longer than a request
may take, because clients keep connections and a client may meet its connection just being closed.  Idle ones are the
first to go when there are too many.

A body that is too large to be gathered passes by: as soon as its head is here, `flow` has the connection.

TLS handshakes happen here as well, as part of reading, so that a silent connection stalls nobody; answers over TLS are
a worker's.  The same thread shuts connections whose answer is not worked out and taken in time.  A request is *hopeless*
when it is too large or not HTTP: cheroot then refuses it with what there is.
"""

from __future__ import annotations

import contextlib
import logging
import math
import resource
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from euca_rpc.http import ordinary
from euca_rpc.http.flow import Flow
from euca_rpc.http.lead import Lead
from euca_rpc.http.ordinary import Direct, Reply
from euca_rpc.steps import Pending, Steps

TURN = 0.5  # seconds without anything, then deadlines are looked at
# Seconds in which the next request of somebody who was just answered is looked for: it is mostly under way, and to wake
# a processor that has gone to sleep takes longer than to answer.
AWAKE = 0.0002
SWEEP = 0.1  # seconds between looks at deadlines
STOP_SECONDS = 5.0
# Connections that may owe a request, or have not taken their answers; beyond it the longest waiting is closed.
# Descriptors must remain for all else.
MOST_WAITING = min(768, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
log = logging.getLogger("euca.http")


class _Deposed(BaseException):
    """The thread that raises it leads no more."""


class Gate:
    def __init__(
        self,
        hand_over: Callable[[Any], None],
        request_seconds: float,
        answer_seconds: float,
        idle_seconds: float,
        flow: Flow | None = None,
        direct: Direct | None = None,
        threads: int = 2,
    ) -> None:
        """``threads``: that may be stuck in what was said to be brief, plus one."""
        self._hand_over, self._flow, self._direct = hand_over, flow, direct
        self._request_seconds, self._answer_seconds = request_seconds, answer_seconds
        self._idle_seconds = idle_seconds
        self._jobs: deque[Callable[[], None]] = deque()  # for the leader, from any thread
        self._waiting: dict[Any, float] = {}  # connection → by when its request must be here; oldest first
        self._idle: dict[Any, float] = {}  # connection → by when its next request must begin; oldest first
        self._working: dict[Any, float] = {}  # connection → by when its answer must be out
        self._parked: dict[Any, Pending] = {}  # connection → what its answer waits for
        self._hurry: list[Pending] = []  # of these, what nobody was told to hurry with
        self._unsent: dict[Any, memoryview] = {}  # connection → what is left of its answer
        self._sweeps = 0.0  # when deadlines are looked at next
        self._answered = False  # somebody, in the last turn
        self._epoll = select.epoll()
        self._heard: dict[int, Any] = {}  # descriptor → connection
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._stops_by: float | None = None
        self._lead = Lead("gate", self._run, threads if direct else 1)

    def start(self) -> None:
        self._lead.start()

    def stop(self) -> None:
        """What is being answered gets its answer, if that is not for long."""
        if not self._lead.started:
            return
        self._stops_by = time.monotonic() + STOP_SECONDS
        self._ring()
        self._lead.ended.wait(STOP_SECONDS)
        self._lead.stop(STOP_SECONDS)

    def admit(self, conn: Any) -> None:
        """From any thread: this connection owes a request."""
        self._soon(partial(self._enter, conn, False))

    def keep(self, conn: Any) -> None:
        """From any thread: this connection was answered and may make another request."""
        self._soon(partial(self._enter, conn, True))

    def working(self, conn: Any) -> None:
        self._working[conn] = time.monotonic() + self._answer_seconds

    def done(self, conn: Any) -> None:
        self._working.pop(conn, None)

    def _soon(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        if not self._lead.leads():
            self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._rope.send(b".")

    # -------------------------------------------------------------------------------------- the leader's thread
    def _run(self) -> None:
        while not self._stopped():
            try:
                self._turn()
            except _Deposed:
                self._ring()  # for what was left to do here
                return
            except Exception:
                log.exception("the gate goes on after an error")
        self._lead.ended.set()
        self._sweep(math.inf)
        for conn in {*self._unsent, *self._parked}:
            self._drop(conn)
        while self._jobs:
            job = self._jobs.popleft()
            if isinstance(job, partial) and job.func == self._enter:
                self._drop(job.args[0])
        self._epoll.close()
        self._bell.close()
        self._rope.close()

    def _stopped(self) -> bool:
        if self._stops_by is None:
            return False
        return not self._working or time.monotonic() > self._stops_by

    def _turn(self) -> None:
        jobs = self._jobs
        for fd, _ in self._events():
            conn = self._heard.get(fd)
            if conn is None:
                if fd == self._bell.fileno():
                    with contextlib.suppress(BlockingIOError):
                        self._bell.recv(4096)
            elif conn in self._unsent:
                self._write(conn)
            elif conn in self._working:
                self._deafen(conn)  # it says something while it is being answered, or goes away
            else:
                self._gather(conn)
        for _ in range(len(jobs)):  # what they leave to do comes after other connections' turn
            jobs.popleft()()
        while self._hurry:
            pending = self._hurry.pop()
            if not pending.done():
                self._lead.enter()
                try:
                    pending.hurry()
                except Exception:  # in a commit, which is another's to answer for
                    log.exception("a commit was not brought on its way")
                if not self._lead.out():
                    raise _Deposed
        now = time.monotonic()
        if now >= self._sweeps:
            self._sweep(now)

    def _events(self) -> list[tuple[int, int]]:
        jobs, poll = self._jobs, self._epoll.poll
        events = poll(0)
        if events or jobs or self._hurry:
            return events
        if self._answered:
            self._answered = False
            until = time.monotonic() + AWAKE
            while not events and not jobs and time.monotonic() < until:
                events = poll(0)
        if not events and not jobs:
            events = poll(TURN)
            if not events and not jobs and not self._parked:
                self._lead.rests()
        return events

    # ------------------------------------------------------------------------------------------------- reading
    def _enter(self, conn: Any, kept: bool) -> None:
        conn.socket.settimeout(0)
        self._rest(conn, kept)
        if conn.heard:
            self._gather(conn)  # the bytes are often there already

    def _rest(self, conn: Any, kept: bool) -> None:
        """It owes a request, or may make another."""
        conn.rfile.continued = False
        while len(self._idle) + len(self._waiting) >= MOST_WAITING:
            self._drop(next(iter(self._idle or self._waiting)))
        if conn.rfile.has_data():  # pipelined: that first, before anything more is read
            self._deafen(conn)
            self._waiting[conn] = time.monotonic() + self._request_seconds
            self._jobs.append(partial(self._look_again, conn))
            return
        waits, seconds = (self._idle, self._idle_seconds) if kept else (self._waiting, self._request_seconds)
        waits[conn] = time.monotonic() + seconds
        self._listen(conn, select.EPOLLIN)

    def _look_again(self, conn: Any) -> None:
        if conn in self._waiting and not self._look(conn):
            self._listen(conn, select.EPOLLIN)
            self._gather(conn)

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
                if self._look(conn):
                    return
            if isinstance(conn.socket, ssl.SSLSocket) and conn.socket.pending():
                self._leave(conn)
                self._soon(partial(self._enter, conn, False))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if rfile.expects():
                rfile.continued = True
                with contextlib.suppress(OSError):
                    conn.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        except (OSError, ValueError):
            self._drop(conn)

    def _look(self, conn: Any) -> bool:
        """Whether something is done about what is here of it."""
        rfile = conn.rfile
        if self._direct is not None:
            conn.asked = ordinary.take(rfile, isinstance(conn.socket, ssl.SSLSocket))
            if conn.asked is not None and not conn.asked.secure and self._direct.brief(conn.asked):
                self._waiting.pop(conn, None)
                self.working(conn)
                self._advance(conn, self._direct.answer(conn.asked))
                return True
            if conn.asked is not None:
                self._pass(conn)
                return True
        if self._flow is not None and self._flow.wants(rfile.buffer):
            self._leave(conn)
            self._flow.take(conn)
            return True
        if rfile.ready():
            self._pass(conn)
            return True
        return False

    def _pass(self, conn: Any) -> None:
        self._leave(conn)
        conn.socket.settimeout(self._answer_seconds)
        self._hand_over(conn)

    # ----------------------------------------------------------------------------------------------- answering
    def _advance(self, conn: Any, steps: Steps[Reply]) -> None:
        """On from where it began, or waited."""
        self._parked.pop(conn, None)
        self._lead.enter()
        came: Pending | bytes | None = None
        try:
            came = self._step(conn, steps)
        except BaseException:  # whatever it is, it is not the end of this thread
            log.exception("a request was not answered")
        if not self._lead.out():
            self._jobs.append(partial(self._came, conn, steps, came))
            raise _Deposed
        self._came(conn, steps, came)

    @staticmethod
    def _step(conn: Any, steps: Steps[Reply]) -> Pending | bytes:
        try:
            return next(steps)
        except StopIteration as end:
            return ordinary.written(end.value, conn.server.server_name, not conn.server.ready)

    def _came(self, conn: Any, steps: Steps[Reply], came: Pending | bytes | None) -> None:
        if came is None:
            self._drop(conn)
        elif isinstance(came, bytes):
            self._unsent[conn] = memoryview(came)
            self._write(conn)
        else:
            self._parked[conn] = came
            self._hurry.append(came)
            came.add_done_callback(lambda done: self._soon(partial(self._advance, conn, steps)))

    def _write(self, conn: Any) -> None:
        """As much as is taken, without waiting."""
        rest = self._unsent[conn]
        try:
            sent = conn.socket.send(rest)
        except BlockingIOError:
            sent = 0
        except OSError:  # the client went away
            self._drop(conn)
            return
        if sent < len(rest):
            self._unsent[conn] = rest[sent:]
            self._listen(conn, select.EPOLLOUT)
            while len(self._unsent) > MOST_WAITING:
                self._drop(next(iter(self._unsent)))
            return
        del self._unsent[conn]
        self._working.pop(conn, None)
        self._answered = True
        if not conn.server.ready:
            self._drop(conn)
            return
        self._rest(conn, True)

    # --------------------------------------------------------------------------------------------- connections
    def _listen(self, conn: Any, events: int) -> None:
        if not conn.heard:
            conn.fd = conn.socket.fileno()
            self._heard[conn.fd] = conn
            self._epoll.register(conn.fd, events)
        elif conn.heard != events:
            self._epoll.modify(conn.fd, events)
        conn.heard = events

    def _deafen(self, conn: Any) -> None:
        if conn.heard:
            conn.heard = 0
            self._heard.pop(conn.fd, None)
            with contextlib.suppress(OSError, ValueError):  # who closed it has unregistered it
                self._epoll.unregister(conn.fd)

    def _leave(self, conn: Any) -> None:
        self._waiting.pop(conn, None)
        self._idle.pop(conn, None)
        self._deafen(conn)

    def _drop(self, conn: Any) -> None:
        self._leave(conn)
        self._working.pop(conn, None)
        self._unsent.pop(conn, None)
        with contextlib.suppress(OSError):
            conn.close()

    def _sweep(self, now: float) -> None:
        self._sweeps = now + SWEEP
        for connections in (self._waiting, self._idle):
            for conn, until in list(connections.items()):
                if until > now:
                    break
                self._drop(conn)
        for conn, until in list(self._working.items()):
            if until <= now:
                self._working.pop(conn, None)
                with contextlib.suppress(OSError):  # the plain socket's: TLS would go on without its TLS
                    socket.socket.shutdown(conn.socket, socket.SHUT_RDWR)
