"""The servers that are measured: each in a process of its own, on loopback, ended by its pid."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .machine import rss_mb

ROOT = Path(__file__).resolve().parents[1]
MOTO = Path(__file__).resolve().parent / ".venv" / "bin" / "moto_server"
# six nodes of 1,280 m1.small each hold all machines of a run
ROOMY = """\
[defaults]
account_instances = -1

[interface.ec2]
rate = 0

[node]
cores = 1280
memory_mb = 262144
disk_gb = 16384
"""


def free_ports(offsets: range) -> int:
    """A base port with all of base + offsets free on loopback, below the range that clients' sockets come from."""
    for _ in range(200):
        base = random.randrange(20000, 30000, 100)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for offset in offsets:
                held.enter_context(socket.create_server(("127.0.0.1", base + offset)))
            return base
    raise RuntimeError("no free ports on loopback")


def wait_for_port(port: int, alive: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if alive.poll() is not None:
            raise RuntimeError(f"{alive.args!r} ended with {alive.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {seconds:g} s")


class Moto:
    """moto's server as it ships."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.port = free_ports(range(1))
        self._log = (home / "moto.log").open("wb")
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self._process = subprocess.Popen(
            [str(MOTO), "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=environment,
            cwd=home,
        )
        wait_for_port(self.port, self._process)

    def __enter__(self) -> Moto:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._log.close()

    @property
    def rss_mb(self) -> float:
        return rss_mb(self._process.pid)


class Euca:
    """A whole cloud by `euca up`: every daemon a process of its own, shipped defaults but for room and quota."""

    def __init__(self, home: Path, *, hypervisor: str, zones: int, nodes: int, settings: str = "") -> None:
        self.home = home
        home.mkdir(mode=0o700)
        self.port = free_ports(range(60))
        (home / "euca.toml").write_text(settings)
        self._up = False
        options = ["--zones", str(zones), "--nodes", str(nodes), "--hypervisor", hypervisor]
        self._start = ["up", *options, "--port", str(self.port), "--detach"]
        self.start()

    def start(self) -> None:
        self.euca(*self._start)
        self._up = True

    def stop(self) -> None:
        if self._up:
            self.euca("down")
            self._up = False

    def __enter__(self) -> Euca:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def euca(self, *words: str) -> Any:
        """One command of the shell, its answer as JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(self.home), "--json", *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=240,
        )
        if done.returncode:
            raise RuntimeError(
                f"euca {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def credentials(self, user: str = "admin") -> tuple[str, str]:
        directory = self.credentials_directory(user)
        if not directory.exists():
            self.euca("credentials", user, str(directory))
        found = {}
        for line in (directory / "credentials").read_text().splitlines():
            name, _, value = line.partition(" = ")
            found[name] = value
        return found["aws_access_key_id"], found["aws_secret_access_key"]

    def credentials_directory(self, user: str = "admin") -> Path:
        return self.home / f"credentials-{user}"

    def test_image(self) -> str:
        return str(self.euca("build_test_image", "--register")["image"])

    def _pids(self) -> dict[str, int]:
        return {file.stem: int(file.read_text().split()[0]) for file in (self.home / "run").glob("*.pid")}

    def kill(self, daemon: str) -> int:
        """With SIGKILL; answers the process that the supervisor starts instead."""
        killed = self._pids()[daemon]
        os.kill(killed, signal.SIGKILL)
        until = time.monotonic() + 30
        while (pid := self._pids()[daemon]) == killed:
            if time.monotonic() > until:
                raise TimeoutError(f"{daemon} was not started again")
            time.sleep(0.005)
        return pid

    @property
    def database(self) -> Path:
        return self.home / "cloud" / "euca.db"

    @property
    def rss_mb(self) -> float:
        """Of the cloud controller, which is what answers EC2."""
        return rss_mb(self._pids()["cloud"])

    @property
    def all_rss_mb(self) -> float:
        """Of all daemons together; pages that they share are counted in each."""
        return round(sum(rss_mb(pid) for pid in self._pids().values()), 1)


def interrupt_ends(number: int = signal.SIGTERM) -> None:
    """SIGTERM unwinds like Ctrl-C, so that everything that was started is ended."""

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(number, ended)
