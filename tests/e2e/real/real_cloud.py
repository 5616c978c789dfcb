"""A whole cloud whose machines are real: emulated guests, each node in a host of its own, seen from inside by ssh.

    RealCloud (a CloudProcess)     hosts, their processes by namespace, what QEMU was ever started: libvirt's own logs
    Guest                          one machine over ssh: its boot id says whether it was ever restarted

Nothing is judged by what the cloud says of itself alone: QEMU's processes, libvirt's log of starts, the files on disk
and the guest's own kernel are asked.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from euca_rpc.daemons import pids
from euca_rpc.host import settings
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.images.test_image import READY as READY

cloud_process: Any = sys.modules["cloud_process"]  # put there by the conftest above
eventually = cloud_process.eventually

SETTINGS = """\
[node]
cores = 16
memory_mb = 6144
disk_gb = 200

[defaults]
account_instances = -1

[interface.ec2]
sigv1 = true
"""
MAIL = """
[mail]
server = "127.0.0.1"
port = {port}
security = "none"
sender = "cloud@example.org"
"""
SSH_OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "ConnectTimeout": "4",  # QEMU accepts at once also while the guest boots: try again soon
    "BatchMode": "yes",
    "IdentitiesOnly": "yes",
}
BOOT = 90.0  # seconds until ssh answers: several emulated guests at once on two busy cores
START_LINE = re.compile(r"starting up libvirt version")


class Life(NamedTuple):
    """What a guest says of itself."""

    boot_id: str
    uptime: float
    written: str  # the file that the test put onto its disk


@dataclass(frozen=True)
class Guest:
    id: str
    address: str
    private: str
    key: Path
    zone: str = ""

    def run(self, command: str, timeout: float = 30.0) -> str | None:
        """Its standard output; None when ssh does not answer or the command fails."""
        options = [part for name, value in SSH_OPTIONS.items() for part in ("-o", f"{name}={value}")]
        words = ["ssh", "-F", "/dev/null", "-i", str(self.key), *options, f"root@{self.address}", command]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
            return done.stdout.strip() if done.returncode == 0 else None
        return None

    def life(self) -> Life | None:
        """Retried once: under load one connection may take longer than its limit."""
        command = "cat /proc/sys/kernel/random/boot_id /proc/uptime; cat /root/written 2>/dev/null || echo"
        for _ in range(2):
            lines = (self.run(command) or "").splitlines()
            if len(lines) >= 2:
                return Life(lines[0], float(lines[1].split()[0]), lines[2] if len(lines) > 2 else "")
        return None

    def up(self, seconds: float = BOOT) -> Life:
        return eventually(f"ssh to {self.id} at {self.address}", self.life, seconds)

    def again(self, before: Life, seconds: float = BOOT) -> Life:
        """Booted anew."""

        def booted() -> Life | None:
            now = self.life()
            return now if now is not None and now.boot_id != before.boot_id else None

        return eventually(f"{self.id} boots again", booted, seconds)

    def write(self, text: str) -> None:
        said = self.run(f"echo '{text}' > /root/written && sync && cat /root/written")
        assert said == text, f"{self.id} did not write its file: {said!r}"


class RealCloud(cloud_process.CloudProcess):  # type: ignore[misc]
    def __init__(self, zones: int = 2, nodes: int = 1, port: int | None = None) -> None:
        # libvirt's socket has a long name below the home; pytest's own directories are too long for it
        self.before = outside()
        port = port or cloud_process.free_ports()
        self.mail_port = port + 9  # a test that wants to read mails listens there; until then they wait
        super().__init__(
            Path(tempfile.mkdtemp(prefix="euca-real-")),
            zones=zones,
            nodes=nodes,
            hypervisor="qemu",
            settings=SETTINGS + MAIL.format(port=self.mail_port),
            port=port,
        )
        self.key = self.home / "key.pem"
        self._image = ""

    # ------------------------------------------------------------------------------------- from start to end
    def prepare(self) -> None:
        """Up, with the test image registered and a key pair made."""
        self.start()
        self._image = self.euca("build_test_image", "--register")["image"]
        self.key.touch(0o600)
        self.key.write_text(self.client().create_key_pair(KeyName="real")["KeyMaterial"])

    def keep_logs(self, directory: Path) -> None:
        for log in (*self.home.glob("log/*.log"), *self.home.rglob("hosts/*/log/**/*.log")):
            target = directory / log.relative_to(self.home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, target)
        print(f"\nlogs of the cloud: {directory}")

    def end(self) -> None:
        """Everything ended; an AssertionError names the process, mount or file that is left."""
        spaces = [space for host in self.hosts if (space := pid_space(self.init(host)))]
        try:
            self.stop()
            left = [f"process {pid}: {command}" for space in spaces for pid, command in members(space)]
            left += [f"mount of process {pid}" for pid in mounted(self.home)]
            left += [f"file {path}" for path in sorted(outside() - self.before)]
            assert not left, f"left behind: {left}"
        finally:
            for space in spaces:
                for pid, _ in members(space):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.home, ignore_errors=True)

    def ready(self) -> bool:
        """Zones and nodes that it was started with; a test may have added more."""
        zones = {row["name"]: row["up"] for row in self.ask("zones")}
        nodes = {id: row["up"] for id, row in self.nodes().items()}
        return all(zones.get(zone) and nodes.get(f"{zone}/host-1") for zone in self.zones)

    def add_image(self) -> str:
        return self._image

    # -------------------------------------------------------------------------------------------- its hosts
    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(self.config.up.zones)

    @property
    def hosts(self) -> list[str]:
        return sorted(path.name for path in (self.home / "hosts").glob("[a-z0-9]*/"))

    def host(self, name: str) -> LibvirtHost:
        return LibvirtHost(self.home / "hosts" / name, name)

    def init(self, host: str) -> int:
        return self.host(host).init_pid or 0

    def inside(self, host: str, what: str) -> int:
        """The process of that host whose command line begins with, or for a daemon of ours ends in, ``what``."""
        space = pid_space(self.init(host))
        found = [pid for pid, command in members(space) if what in command and "host.init" not in command]
        assert len(found) == 1, f"{what} in {host}: {found}"
        return found[0]

    def part(self, name: str) -> int:
        """The process called so: a daemon's pid file, or WHAT@HOST inside a host."""
        what, at, host = name.partition("@")
        if not at:
            pid = pids.living(self.home / "run" / f"{name}.pid")
            assert pid is not None, f"{name} does not run"
            return pid
        return self.inside(host, {"node": "euca_rpc.cli.main"}.get(what, what))

    def kill_part(self, name: str) -> float:
        """SIGKILL; the seconds until another process has taken its place."""
        old = self.part(name)
        began = time.monotonic()
        os.kill(old, signal.SIGKILL)
        eventually(f"{name} runs again", lambda: self.part(name) != old, 30.0)
        return time.monotonic() - began

    # ------------------------------------------------------------------------------- what happened on the hosts
    def qemus(self) -> dict[str, list[int]]:
        """Instance → the QEMU processes that run it."""
        found: dict[str, list[int]] = {}
        for host in self.hosts:
            for pid, command in members(pid_space(self.init(host))):
                name = re.search(r"guest=(i-[0-9a-f]+)", command)
                if name and "qemu" in command:
                    found.setdefault(name[1], []).append(pid)
        return found

    def booted(self, instance_id: str) -> int:
        """How often QEMU was ever started for it, on whatever host: libvirt's own log."""
        logs = self.home.glob(f"hosts/*/log/qemu/{instance_id}.log")
        return sum(len(START_LINE.findall(log.read_text(errors="replace"))) for log in logs)

    def traces(self, instance_id: str) -> list[str]:
        """Files that still belong to it: its folder, its domain's XML, disks set aside."""
        places = ("nodes/*/instances/{}", "nodes/*/set-aside/{}*", "hosts/*/etc/qemu/{}.xml")
        return sorted(
            str(path.relative_to(self.home))
            for place in places
            for path in self.home.glob(place.format(instance_id))
        )

    # ---------------------------------------------------------------------------------------------- its machines
    def guest(self, instance_id: str, key: Path | None = None) -> Guest:
        row = self.describe(instance_id)[instance_id]
        return Guest(
            instance_id,
            row["PublicIpAddress"],
            row["PrivateIpAddress"],
            key or self.key,
            row["Placement"]["AvailabilityZone"],
        )

    def boot(self, count: int = 1, **more: Any) -> list[Guest]:
        """Launched; `up` of each says when it answers."""
        return [self.guest(id) for id in self.launch(count, KeyName="real", **more)]

    def terminate_guests(self, guests: Iterable[Guest]) -> None:
        ids = [guest.id for guest in guests]
        self.terminate([id for id, state in self.states(*ids).items() if state != "terminated"])
        self.until("terminated", ids, 30.0)

    def reason(self, instance_id: str) -> tuple[str, str]:
        row = self.describe(instance_id)[instance_id]
        said = row.get("StateReason") or {}
        return said.get("Code", ""), said.get("Message", "")

    @staticmethod
    def refused(addresses: Sequence[str], port: int = 22) -> list[str]:
        """Those at which nobody listens."""
        found = []
        for address in addresses:
            with socket.socket() as probe:
                probe.settimeout(2.0)
                if probe.connect_ex((address, port)):
                    found.append(address)
        return found

    def console(self, instance_id: str) -> str:
        return str(self.client().get_console_output(InstanceId=instance_id).get("Output", ""))


# ----------------------------------------------------------------------------------------------------- details
def pid_space(pid: int) -> str:
    """The PID namespace of a process; "" if there is none."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") if pid else ""
    except OSError:
        return ""


def members(space: str) -> list[tuple[int, str]]:
    """The living of a PID namespace: pid as seen here, command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if not space or os.readlink(entry / "ns" / "pid") != space or pids.began(int(entry.name)) is None:
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append((int(entry.name), command))
    return found


def mounted(home: Path) -> Iterator[int]:
    """Processes in whose mount namespace something below ``home`` is mounted."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{home}/" in (entry / "mountinfo").read_text():
                yield int(entry.name)


def outside() -> set[Path]:
    """What lies where libvirt would keep it if a host's mounts failed."""
    return {path for place in settings.DIRECTORIES if Path(place).is_dir() for path in Path(place).rglob("*")}
