"""PID 1 of a host's namespaces: puts libvirt's directories in place, starts the daemons, reaps every orphan.

Run by `libvirtd.LibvirtHost` under ``unshare --mount --pid --fork``; nobody else starts it.  It owns the one loop of
a host: `os.waitpid` on everything, restart of what should run after a delay that doubles up to 10 s and starts anew
when a child lived for 30 s.  QEMU is never its child by design but becomes one when libvirtd forks it off; that is
why guests survive libvirtd and why a dead one leaves no zombie (libvirt's destroy polls for it).

It ends on SIGTERM (children first get 5 s) and the kernel then ends all that is left in the namespace, guests
included: for them this is power loss, whatever the signal was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from euca_rpc.host import settings

SHORTEST, LONGEST = 0.1, 10.0  # seconds between restarts
# libvirt takes its cache of QEMU's capabilities for that of another machine when it starts on another core: it compares
# the processor's identification, in which leaf 0x1f names the core.  So it starts on the first one and is let go later.
PINNED = 5.0
SETTLED = 30.0  # a child that lived so long starts its next restart without delay
LOG_LIMIT = 4 << 20  # a child's log that is larger becomes NAME.1
GRACE = 5.0


@dataclass(slots=True)
class Child:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    directory: Path
    pid: int | None = None
    began: float = 0.0
    delay: float = SHORTEST
    due: float = 0.0
    pinned: bool = False  # to the first core, now
    pin: bool = False

    def start(self) -> None:
        set_aside(self.log)
        with self.log.open("ab") as log:
            cores = os.sched_getaffinity(0)
            if self.pin:
                os.sched_setaffinity(0, {min(cores)})  # inherited
            try:
                process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.environment),
                    cwd=self.directory,
                    start_new_session=True,
                )
            except OSError as error:
                log.write(f"host: {self.name} cannot be started: {error}\n".encode())
                self.ended()
                return
            finally:
                os.sched_setaffinity(0, cores)
        self.pinned = self.pin
        self.pid = process.pid
        process.returncode = 0  # it is reaped by our waitpid, not by subprocess
        self.began = time.monotonic()

    def let_go(self) -> None:
        self.pinned = False
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), os.sched_getaffinity(0))

    def ended(self) -> None:
        now = time.monotonic()
        if self.pid is not None and now - self.began >= SETTLED:
            self.delay = SHORTEST
        self.pid, self.pinned = None, False
        self.due = now + self.delay
        self.delay = min(self.delay * 2, LONGEST)


def main(directory: Path, host_uuid: str, commands: Sequence[Sequence[str]]) -> None:
    # /proc is still that of the outer namespace here, hence so is our number in it.
    (directory / "init.pid").write_text(identity("self"))
    boot_id = str(uuid.uuid4())
    enter(directory, host_uuid, boot_id)
    children = offspring(directory, boot_id, commands)
    state = {"ending": False}

    def end(number: int, frame: FrameType | None) -> None:
        state["ending"] = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # which PID 1 never sees; an ignored one our children would inherit
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # ends the wait below
    waiting = {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waiting)

    while not state["ending"]:
        reap(children)
        now = time.monotonic()
        for child in children:
            if child.pid is None and child.due <= now:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, waiting)
                child.start()
                signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
            elif child.pid is not None and child.pinned and now - child.began >= PINNED:
                child.let_go()
        pending = [child.due - now for child in children if child.pid is None]
        pending += [child.began + PINNED - now for child in children if child.pinned]
        got = signal.sigtimedwait(waiting, max(0.0, min([60.0, *pending])))
        if got is not None and got.si_signo == signal.SIGTERM:
            state["ending"] = True
        for child in children[:2]:  # our own daemons see to their logs themselves
            set_aside(child.log)
    finish(children)


def set_aside(log: Path) -> None:
    """Copied and emptied: whoever appends to it goes on at its new beginning."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)


def identity(pid: str) -> str:
    """``PID STARTTIME``: the pair is unique while the machine is up, a bare number is reused."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{os.readlink('/proc/self') if pid == 'self' else pid} {fields[19]}"


def enter(directory: Path, host_uuid: str, boot_id: str) -> None:
    settings.write(directory, host_uuid)
    (directory / "boot_id.new").write_text(boot_id + "\n")
    (directory / "boot_id.new").replace(directory / "boot_id")
    for old in (
        directory / "run"
    ).iterdir():  # /run is empty after a boot; stale pid files would keep daemons down
        subprocess.run(["rm", "-rf", "--", str(old)], check=True)
    mount("-t", "proc", "proc", "/proc")
    for place, ours in settings.DIRECTORIES.items():
        mount("--bind", str(directory / ours), place)
    for place in settings.HIDDEN:
        if Path(place).is_dir():
            mount("-t", "tmpfs", "-o", "mode=0755,size=64k", "none", place)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def offspring(directory: Path, boot_id: str, commands: Sequence[Sequence[str]]) -> list[Child]:
    environment = {
        **os.environ,
        "EUCA_BOOT_ID": boot_id,
        "EUCA_HOST_DIRECTORY": str(directory),
        "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
    }
    plain = {"PATH": environment["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/root"}
    logs = directory / "log"
    daemons = [
        Child(name, daemon(name), plain, logs / f"{name}.log", directory, pin=name == "libvirtd")
        for name in ("virtlogd", "libvirtd")
    ]
    own = [
        Child(f"child-{n}", command, environment, logs / f"child-{n}.log", directory)
        for n, command in enumerate(commands)
    ]
    return daemons + own


def daemon(name: str) -> list[str]:
    """The default pid files lie in /run, which all hosts of the machine share."""
    return [name, "-f", f"/etc/libvirt/{name}.conf", "-p", f"/run/libvirt/{name}.pid"]


def reap(children: Sequence[Child]) -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for child in children:
            if child.pid == pid:
                child.ended()


def finish(children: Sequence[Child]) -> None:
    """Our commands first, so that they may still talk to libvirt, then the daemons; the kernel does the rest."""
    for group in (children[2:], children[:2]):
        for child in group:
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while any(child.pid is not None for child in group) and time.monotonic() < until:
            reap(children)
            time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
