"""Which process is ours: a pid file holds the pid and the moment the process began.

A pid alone is a trap: numbers are used again. Only a process with the same number *and* the same
beginning is ever sent a signal. A zombie counts as ended, for where PID 1 reaps late it stays for
seconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

from euca_rpc.wire.files import write_atomically


def began(pid: int) -> str | None:
    """The start time of a living process in clock ticks since boot, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" else rest[18]


def write(file: Path, pid: int) -> None:
    """Whole or not at all: somebody may be reading it."""
    write_atomically(file, f"{pid} {began(pid) or '-'}\n".encode())


def living(file: Path) -> int | None:
    """The pid, if that very process still lives."""
    try:
        pid, start = file.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if began(int(pid)) == start else None


def end(file: Path, grace: float, number: signal.Signals = signal.SIGTERM) -> str:
    """``number``, after ``grace`` seconds SIGKILL; the file goes with the process.  What happened, for people."""
    pid = living(file)
    if pid is None:
        file.unlink(missing_ok=True)
        return "was not running"
    how = "ended"
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        file.unlink(missing_ok=True)
        return how
    try:
        if living(file) == pid:  # looked at again under the handle: now it cannot become another's
            how = finish(handle, pid, grace, number)
    finally:
        os.close(handle)
    file.unlink(missing_ok=True)
    return how


def finish(handle: int, pid: int, grace: float, number: signal.Signals = signal.SIGTERM) -> str:
    """The same for a process that is held by its ``handle`` (a pidfd): one's own child, whatever became of its file."""
    _send(handle, number)
    if _gone(handle, pid, grace):
        return "ended"
    _send(handle, signal.SIGKILL)
    _gone(handle, pid, 5.0)
    return "killed"


def _send(handle: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _gone(handle: int, pid: int, seconds: float) -> bool:
    """The process itself, not its pid file: a supervisor removes that before its last breath."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([handle], [], [], 0.2)[0] or began(pid) is None:
            return True
    return False
