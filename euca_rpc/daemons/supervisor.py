"""Keeps the daemons of one machine running: `euca up`.

    start in order ──► wait for a death or a signal ──► start again after a pause that doubles
                                                   └──► SIGTERM/SIGINT: end all of them, then itself

Each is a process of its own with its own log; a death costs nobody else anything. The pause before a
restart starts at a fifth of a second, doubles up to ten, and is forgotten after half a minute of good
running. Pid files let `euca down` find what is left when the supervisor itself was killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from euca_rpc.daemons import pids

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
GOOD_RUN = 30.0
GRACE = 8.0  # seconds for a daemon to end: the longest remote call it may be in
HOST_GRACE = 20.0  # for a host with all that is on it

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    name: str  # of its log and pid file
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = GRACE


@dataclass(slots=True)
class Running:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    handle: int = -1
    began: float = 0.0
    pause: float = FIRST_PAUSE
    again_at: float | None = 0.0


class Supervisor:
    def __init__(self, programs: Sequence[Program], run: Path, logs: Path) -> None:
        self._run, self._logs = run, logs
        self._all = [Running(program) for program in programs]
        self._new: queue.SimpleQueue[Program] = queue.SimpleQueue()
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)

    def add(self, program: Program) -> None:
        """One more, from another thread: a node whose certificate has just been made."""
        self._new.put(program)
        self._wake()

    def end(self) -> None:
        """From a signal handler or another thread."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already
            self._wake_out.send(b".")

    def run(self) -> None:
        """Until `end`."""
        try:
            while not self._ended:
                while not self._new.empty():
                    self._all.append(Running(self._new.get()))
                for one in self._all:
                    if one.again_at is not None and one.again_at <= time.monotonic():
                        self._start(one)
                self._wait()
        finally:  # all at once: each copes with the silence of the others
            with ThreadPoolExecutor(max(1, len(self._all))) as pool:
                list(pool.map(self._stop, self._all))

    def _start(self, one: Running) -> None:
        with open(self._logs / f"{one.program.name}.log", "ab") as out:
            one.process = subprocess.Popen(
                one.program.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **one.program.environment},
                start_new_session=True,  # Ctrl-C is for the supervisor alone; it ends them in order
            )
        one.handle = os.pidfd_open(one.process.pid)
        pids.write(self._run / f"{one.program.name}.pid", one.process.pid)
        one.began, one.again_at = time.monotonic(), None
        self._selector.register(one.handle, selectors.EVENT_READ, one)

    def _wait(self) -> None:
        due = [one.again_at for one in self._all if one.again_at is not None]
        nap = max(0.0, min(due) - time.monotonic()) if due else None
        for key, _ in self._selector.select(nap):
            if key.data is None:
                self._wake_in.recv(64)
            else:
                self._died(key.data)

    def _died(self, one: Running) -> None:
        code = self._forget(one)
        if time.monotonic() - one.began > GOOD_RUN:
            one.pause = FIRST_PAUSE
        one.again_at = time.monotonic() + one.pause
        log.warning("%s ended (%s); starting it again in %.1f s", one.program.name, describe(code), one.pause)
        one.pause = min(LONGEST_PAUSE, one.pause * 2)

    def _forget(self, one: Running) -> int:
        assert one.process is not None
        self._selector.unregister(one.handle)
        os.close(one.handle)
        code = one.process.wait()
        one.process, one.handle = None, -1
        return code

    def _stop(self, one: Running) -> None:
        file = self._run / f"{one.program.name}.pid"
        if one.process is not None:
            pids.finish(one.handle, one.process.pid, one.program.grace)
            one.process.wait()
            os.close(one.handle)
        file.unlink(missing_ok=True)


def describe(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
