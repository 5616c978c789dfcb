"""A private libvirt host, seen from outside its namespaces: start it, reach it, pull its plug.

All state is in its directory, so any process of the same user may take over: `LibvirtHost(directory, name)` of a host
that another process started knows its init, its URI and how to end it.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.host import settings
from euca_rpc.ids import is_name

LONGEST_SOCKET = 107  # bytes of a unix socket's path that Linux takes
PROGRAMS = {
    "unshare": "util-linux",
    "mount": "mount",
    "libvirtd": "libvirt-daemon",
    "virtlogd": "libvirt-daemon",
    "virsh": "libvirt-clients",
}


class LibvirtHost:
    """``directory`` is the host's own (``HOME/hosts/NAME``); ``capabilities`` is shared by the hosts of one home."""

    def __init__(
        self,
        directory: Path,
        name: str,
        children: Sequence[Sequence[str]] = (),
        environment: Mapping[str, str] | None = None,
        capabilities: Path | None = None,
    ) -> None:
        if not is_name(name):
            raise EucaError("config_invalid", f"A host's name has a-z, 0-9 and hyphens; {name!r} does not.")
        self.directory = directory.resolve()
        self.name = name
        self.socket = self.directory / "run" / "libvirt-sock"
        self._children = [list(command) for command in children]
        self._environment = dict(os.environ if environment is None else environment)
        self._capabilities = capabilities or self.directory.parent / ".capabilities"
        self._process: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise EucaError(
                "config_invalid",
                f"libvirt's socket would be {self.socket}, which has {len(os.fsencode(self.socket))} bytes; Linux "
                f"allows {LONGEST_SOCKET}. Choose a home with a shorter path.",
            )

    # ------------------------------------------------------------------------------------------------- facts
    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def init_pid(self) -> int | None:
        """The namespace's PID 1 as this process sees it; None if the host is off."""
        try:
            pid, began = (self.directory / "init.pid").read_text().split()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return int(pid) if fields[0] not in "ZX" and fields[19] == began else None

    @property
    def boot_id(self) -> str:
        try:
            return (self.directory / "boot_id").read_text().strip()
        except FileNotFoundError:
            return ""

    @property
    def commands(self) -> list[list[str]]:
        """What a host that is on was told to run inside, whoever started it."""
        try:
            told = Path(f"/proc/{self.init_pid or 0}/cmdline").read_text().split("\0")
            return [list(command) for command in json.loads(told[-2])]
        except (OSError, ValueError, IndexError):
            return []

    # ----------------------------------------------------------------------------------------------- actions
    def start(self) -> None:
        """Switch it on; returns at once.  Does nothing if it is on."""
        if self.init_pid is not None:
            return
        self._check()
        for ours in settings.DIRECTORIES.values():
            (self.directory / ours).mkdir(parents=True, exist_ok=True, mode=0o755)
        self.directory.chmod(0o700)
        for place in settings.DIRECTORIES:
            Path(place).mkdir(
                parents=True, exist_ok=True
            )  # mount points; /run/libvirt is missing after a boot
        self._remember_capabilities(self._capabilities, self._cache)
        (self.directory / "init.pid").unlink(missing_ok=True)
        # --kill-child ties init to unshare in one direction, the kernel in the other.
        with (self.directory / "log" / "init.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
                    *(sys.executable, "-m", "euca_rpc.host.init", str(self.directory), self._host_uuid()),
                    json.dumps(self._children),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until libvirt answers.  Probing QEMU takes 3 to 8 s the first time; later starts use what was learned."""
        until = time.monotonic() + timeout
        trouble = "it has not started"
        while time.monotonic() < until:
            if self._process is not None and self._process.poll() is not None:
                raise EucaError("unavailable", f"Host {self.name} ended while starting: {self._last_words()}")
            if self._process is None and self.init_pid is None:
                raise EucaError(
                    "unavailable", f"Host {self.name}, which another process had started, went off."
                )
            if self.socket.exists():
                try:
                    done = subprocess.run(
                        ["virsh", "-c", self.uri, "version"],
                        capture_output=True,
                        text=True,
                        timeout=max(1.0, until - time.monotonic()),
                    )
                except subprocess.TimeoutExpired:
                    break
                if done.returncode == 0:
                    self._remember_capabilities(self._cache, self._capabilities)
                    return
                trouble = done.stderr.strip()
            time.sleep(0.05)
        raise EucaError(
            "unreachable",
            f"libvirt of host {self.name} did not answer within {timeout:g} s ({trouble}). Its log: "
            f"{self.directory / 'log' / 'libvirtd.log'}",
        )

    def kill(self) -> None:
        """Power loss: when it returns, nothing of the host runs."""
        self._signal(signal.SIGKILL)
        self._wait_gone(10.0)

    def stop(self, timeout: float = 15.0) -> None:
        """Children and daemons are asked to end; guests lose power with the namespace."""
        self._signal(signal.SIGTERM)
        if not self._wait_gone(timeout):
            self.kill()

    def wait(self) -> int:
        """Until the host is off, also one that another process started: guests outlive whoever held it."""
        if self._process is not None:
            return self._process.wait()
        pid = self.init_pid
        with suppress(ProcessLookupError), ExitStack() as held:
            if pid is not None:
                handle = os.pidfd_open(pid)
                held.callback(os.close, handle)
                if self.init_pid == pid:  # looked at again under the handle: now it cannot become another's
                    select.select([handle], [], [])
        return 0

    # ----------------------------------------------------------------------------------------------- details
    def _check(self) -> None:
        if os.geteuid() != 0:
            raise EucaError(
                "unsupported",
                "A libvirt host of its own needs root (mount and PID namespaces). Run as root, or name the URI of a "
                "libvirt that is there already ([node] libvirt_uri).",
            )
        for program, package in PROGRAMS.items():
            if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
                raise EucaError("unsupported", f"{program} is missing. Install it: apt-get install {package}")

    def _host_uuid(self) -> str:
        """Made once: libvirt refuses to migrate between hosts of the same number, and the machine's is shared."""
        path = self.directory / "host_uuid"
        if not path.exists():
            path.write_text(str(uuid.uuid4()) + "\n")
        return path.read_text().strip()

    @property
    def _cache(self) -> Path:
        return self.directory / "cache" / "qemu" / "capabilities"

    @staticmethod
    def _remember_capabilities(source: Path, target: Path) -> None:
        """Copied, never shared: each entry names the binary, kernel and libvirt it is true of, and is probed again if
        one of them changed; but libvirt writes these files in place, so that another daemon could read half of one."""
        if not source.is_dir():
            return
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in source.glob("*.xml"):
            if not (target / entry.name).exists():
                fresh = target / f"{entry.name}.{os.getpid()}.new"
                shutil.copyfile(entry, fresh)
                fresh.replace(target / entry.name)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.init_pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    def _wait_gone(self, timeout: float) -> bool:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self._process is not None:
                self._process.poll()  # reaps
            if self.init_pid is None and (self._process is None or self._process.returncode is not None):
                return True
            time.sleep(0.01)
        return self.init_pid is None

    def _last_words(self) -> str:
        try:
            return (self.directory / "log" / "init.log").read_text(errors="replace").strip()[-500:]
        except OSError:
            return ""
