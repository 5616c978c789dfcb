"""A whole cloud as a person has it: `euca up` in a home of its own, on ports and addresses of its own.

    start ─► euca up --detach ─► ask (administrator), client (boto3), query (signed by hand, any API version)
    stop  ─► euca down ─► nothing that names the home is left in the process table, or the test fails

Daemons are found by the supervisor's pid files and are ended by pid alone.  With the simulated hypervisor what really
happened on a node is read from its history, which its daemon's death does not touch.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials

from euca_rpc import config as configuration
from euca_rpc.cli.remote import ask
from euca_rpc.config import Config
from euca_rpc.daemons import pids
from euca_rpc.node.simulated import Line, read_history

T = TypeVar("T")

PORTS = configuration.NODE + 40  # of one cloud
SETTINGS = """\
[node]
cores = 4
memory_mb = 8192
disk_gb = 100

[defaults]
account_instances = -1
"""


def eventually(what: str, condition: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true value of ``condition``; it may raise meanwhile."""
    until = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = found = condition()
            if found:
                return found
        except Exception as error:
            last = error
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {last!r}")
        time.sleep(0.1)


def free_ports(count: int = PORTS) -> int:
    """The first of so many free neighbours, below the range that outgoing connections use."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        below = min(32768, int(limits.read().split()[0]))
    while True:
        base = random.randrange(10000, below - count)
        with suppress(OSError):
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base


class CloudProcess:
    def __init__(
        self,
        home: Path,
        *,
        zones: int = 2,
        nodes: int = 3,
        hypervisor: str = "simulated",
        settings: str = SETTINGS,
        port: int | None = None,
        python: Path = Path(sys.executable),  # of the environment that it is installed in
    ) -> None:
        self.home = home
        self.python = python
        self.shape = (zones, nodes, hypervisor)
        self.port = port or free_ports()
        self.pool = f"127.{random.randrange(40, 250)}.0.0/16"
        home.mkdir(parents=True, exist_ok=True)
        if settings and not (home / "euca.toml").exists():
            (home / "euca.toml").write_text(settings)
        self._clients: dict[str, Any] = {}
        self._keys: dict[str, tuple[str, str]] = {}

    # ---------------------------------------------------------------------------------------- from start to end
    def start(self) -> None:
        zones, nodes, hypervisor = self.shape
        self.euca(
            *("up", "--port", str(self.port), "--zones", str(zones), "--nodes", str(nodes)),
            *("--hypervisor", hypervisor, "--address-pool", self.pool, "--detach"),
        )

    def stop(self) -> None:
        """Ends all of it; an AssertionError names what is left."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.go_on()
        self.euca("down")
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"euca down left running: {left}"

    def processes(self) -> dict[int, str]:
        """Whatever names this home on its command line, zombies apart."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{self.home} " in command:
                    found[int(entry.name)] = command
        return found

    # -------------------------------------------------------------------------------------------- its parts
    @property
    def config(self) -> Config:
        return configuration.load(self.home)

    @property
    def daemons(self) -> dict[str, int]:
        """Name → pid of all that run; the supervisor is not one of them."""
        files = {file.stem: pids.living(file) for file in sorted((self.home / "run").glob("*.pid"))}
        return {name: pid for name, pid in files.items() if pid is not None and name != "up"}

    @property
    def ports(self) -> dict[str, int]:
        """Every port that somebody listens on, by daemon; the cloud controller has three."""
        c, nodes = self.config, self.shape[1]
        found = {
            "ec2": c.port(configuration.EC2),
            "nameserver": c.port(configuration.NAMESERVER),
            "cloud": c.port(configuration.CLOUD),
            "images": c.port(configuration.IMAGES),
            "enrol": c.port(configuration.ENROL),
        }
        for z, zone in enumerate(c.up.zones):
            found[f"cluster-{zone}"] = c.port(configuration.CLUSTER + z)
            for n in range(nodes):
                found[f"node-{zone}-host-{n + 1}"] = c.port(configuration.NODE + z * nodes + n)
        return found

    def signal(self, name: str, number: signal.Signals) -> int:
        """To the daemon of that name; its pid."""
        pid = self.daemons[name]
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> int:
        return self.signal(name, signal.SIGKILL)

    def restarted(self, name: str, since: int, seconds: float = 15.0) -> int:
        """The pid of the process that has taken the place of ``since``."""
        return eventually(
            f"{name} runs again", lambda: (p := self.daemons.get(name)) and p != since and p, seconds
        )

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """These daemons hang (SIGSTOP): alive to the supervisor, silent to everybody else."""
        held = [self.signal(name, signal.SIGSTOP) for name in names]
        try:
            yield
        finally:
            for pid in held:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def go_on(self) -> None:
        for pid in self.daemons.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def memory_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.daemons[name]}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def log(self, name: str) -> str:
        return (self.home / "log" / f"{name}.log").read_text(errors="replace")

    # ------------------------------------------------------------------------------------- the administrator
    def euca(self, *arguments: str, check: bool = True) -> Any:
        """The command line's JSON document."""
        command = [
            str(self.python),
            "-m",
            "euca_rpc.cli.main",
            "--home",
            str(self.home),
            *arguments,
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if check and done.returncode:
            raise AssertionError(
                f"euca {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def ask(self, verb: str, **args: Any) -> Any:
        """The same without a process."""
        return ask(self.config, verb, args, timeout=10.0)

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.ask("nodes")}

    def all_up(self) -> bool:
        zones, nodes, _ = self.shape
        rows = self.ask("zones") + self.ask("nodes")
        return len(rows) == zones + zones * nodes and all(row["up"] for row in rows)

    def rooms(self) -> dict[str, Any]:
        """What is free where, exactly, as `euca zones` and `euca nodes` tell it."""
        zones = {row["name"]: row["types"] for row in self.ask("zones")}
        return zones | {id: (row["offer"], row["free"], row["instances"]) for id, row in self.nodes().items()}

    # ----------------------------------------------------------------------------------------------- a user
    def add_user(self, name: str, *options: str, **limits: int) -> str:
        """The number of the user's account."""
        account = str(self.euca("user", "add", name, *options)["account"])
        if limits:
            flags = [part for limit, most in limits.items() for part in (f"--{limit}", str(most))]
            self.euca("quota", f"user/{name}", *flags)
        return account

    def keys(self, user: str = "admin") -> tuple[str, str]:
        """Access key and secret key, from what `euca credentials` wrote."""
        if user not in self._keys:
            directory = self.home / "credentials" / user
            self.euca("credentials", user, str(directory))
            lines = (line.partition("=") for line in (directory / "credentials").read_text().splitlines())
            said = {name.strip(): value.strip() for name, _, value in lines}
            self._keys[user] = (said["aws_access_key_id"], said["aws_secret_access_key"])
        return self._keys[user]

    def client(self, user: str = "admin") -> Any:
        """boto3; nothing is tried twice, so that a test sees each failure."""
        if user not in self._clients:
            access, secret = self.keys(user)
            self._clients[user] = boto3.session.Session(access, secret, region_name="eucalyptus").client(
                "ec2",
                endpoint_url=self.config.ec2_url,
                config=BotoConfig(
                    retries={"total_max_attempts": 1},
                    max_pool_connections=64,
                    connect_timeout=5,
                    read_timeout=30,
                ),
            )
        return self._clients[user]

    def signed(self, body: bytes, user: str = "admin") -> dict[str, str]:
        """The headers of a signed POST."""
        request = AWSRequest(
            "POST",
            self.config.ec2_url,
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        SigV4Auth(Credentials(*self.keys(user)), "ec2", "eucalyptus").add_auth(request)
        return dict(request.headers.items())

    def query(self, action: str, version: str = "2016-11-15", user: str = "admin", **more: str) -> str:
        """One action of any API version; the answer's XML as it came."""
        body = urlencode({"Action": action, "Version": version, **more}).encode()
        status, text = self.post(body, self.signed(body, user))
        assert status == 200, text
        return text

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/services/Eucalyptus", body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def add_image(self) -> str:
        """Four MiB of nothing: simulated machines do not read it."""
        if not hasattr(self, "_image"):
            file = self.home / "image.raw"
            file.write_bytes(bytes(4 << 20))
            self._image = str(
                self.euca("add_image", "--disk-image", str(file), "--image-name", "nothing")["image"]
            )
            file.unlink()
        return self._image

    def launch(
        self, least: int = 1, most: int | None = None, *, user: str = "admin", **more: Any
    ) -> list[str]:
        zone = more.pop("zone", None)
        if zone:
            more["Placement"] = {"AvailabilityZone": zone}
        answer = self.client(user).run_instances(
            **{"InstanceType": "m1.small", **more},
            ImageId=self.add_image(),
            MinCount=least,
            MaxCount=least if most is None else most,
        )
        return [row["InstanceId"] for row in answer["Instances"]]

    def describe(self, *ids: str, user: str = "admin") -> dict[str, dict[str, Any]]:
        """Id → instance, terminated ones too."""
        answer = self.client(user).describe_instances(InstanceIds=list(ids))
        return {row["InstanceId"]: row for group in answer["Reservations"] for row in group["Instances"]}

    def states(self, *ids: str) -> dict[str, str]:
        return {id: row["State"]["Name"] for id, row in self.describe(*ids).items()}

    def until(self, state: str, ids: Sequence[str], seconds: float = 20.0) -> None:
        def reached() -> bool:
            found = self.states(*ids)
            return set(found) == set(ids) and set(found.values()) == {state}

        if not ids:
            return
        eventually(f"{len(ids)} instances {state}", reached, seconds)

    def terminate(self, ids: Sequence[str], user: str = "admin") -> None:
        if ids:
            self.client(user).terminate_instances(InstanceIds=list(ids))

    def clear(self, seconds: float = 20.0) -> None:
        """Terminate all that there is, of all users, and wait for the end of it."""
        alive = [id for id, state in self.states().items() if state != "terminated"]
        self.terminate(alive)
        self.until("terminated", alive, seconds)
        eventually(
            "no claim is held", lambda: not any(n["instances"] for n in self.nodes().values()), seconds
        )

    # ---------------------------------------------------------------------------- what happened on the nodes
    def histories(self) -> dict[str, list[Line]]:
        """Node → all that its simulated hypervisor ever did."""
        found = {}
        for directory in sorted((self.home / "nodes").glob("*/simulated")):
            lines = read_history(directory)
            found[directory.parent.name] = lines
        return found

    def starts(self) -> dict[tuple[str, int], list[str]]:
        """(instance, generation) → the nodes that started it, once for each time."""
        found: dict[tuple[str, int], list[str]] = {}
        for node, lines in self.histories().items():
            for line in lines:
                if line.what == "start":
                    found.setdefault((line.instance, line.generation), []).append(node)
        return found

    def alive_on_nodes(self) -> set[str]:
        """Machines that run, whoever knows of them."""
        running: set[str] = set()
        for lines in self.histories().values():
            here: set[str] = set()
            for line in lines:
                if line.what == "start":
                    here.add(line.instance)
                elif line.what in ("stop", "end"):
                    here.discard(line.instance)
                elif line.what == "power":
                    here.clear()
            running |= here
        return running
