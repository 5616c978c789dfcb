"""The main job, end to end, with nothing but what this checkout installed.

    home, certificates ─ controllers up ─ test image ─ key pair ─ two machines ─ ssh into each ─ console ─ terminate ─ down

A cloud of its own in a fresh directory, on ports and loopback addresses that nobody uses; everything ends with it, also
when a step fails.  ``--keep`` leaves it running and prints what to paste next.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as ClientConfig

from euca_rpc.cli.output import Output, clean

ZONES = ("east", "west")
SSH_WAIT = 120.0  # seconds: two emulated guests booting on one slow core, with room
OFFSETS = (0, 1, 2, 3, 4, 5, 10, 11, 40, 41)  # of the ports that such a cloud uses


class Demo:
    def __init__(self) -> None:
        self.output = Output()
        self.home = Path(tempfile.mkdtemp(prefix="euca-demo-"))
        self.port = free_port()
        self.pool = f"127.{random.randrange(64, 192)}.0.0/16"  # noqa: S311
        self.key = self.home / "demo-key.pem"
        self.client: Any = None

    # ------------------------------------------------------------------------------------------------- the job
    def run(self) -> None:
        say = self.output.say
        say(f"A whole cloud in {self.home}, EC2 on port {self.port}, machines in {self.pool}\n")
        self.euca(
            "up", "--detach", "--port", str(self.port), "--zones", ",".join(ZONES), "--nodes", "1",
            "--hypervisor", "auto", "--address-pool", self.pool,
        )  # fmt: skip
        self.euca("build_test_image", "--register", "--image-name", "demo")
        with self.output.step("credentials made, as any EC2 client reads them"):
            self.euca("credentials", "admin", str(self.home / "admin"), quiet=True)
            self.connect()
        with self.output.step("boto3: availability zones") as step:
            zones = self.client.describe_availability_zones()["AvailabilityZones"]
            step.note = ", ".join(f"{zone['ZoneName']} {zone['State']}" for zone in zones)
        with self.output.step("boto3: key pair made"):
            made = self.client.create_key_pair(KeyName="demo")
            self.key.touch(0o600)
            self.key.write_text(made["KeyMaterial"])
        with self.output.step("boto3: two machines launched, one in each zone") as step:
            ids = [self.launch(zone) for zone in ZONES]
            step.note = " ".join(ids)
        with self.output.step("pending → running"):
            machines = self.wait_for_state(ids, "running")
        for machine in machines:
            self.log_in(machine)
        with self.output.step("boto3: console output"):
            consoles = {id: self.console(id) for id in ids}
        for id, text in consoles.items():
            say(f"\n    {id}, the end of its console:")
            say("\n".join(f"    | {line}" for line in clean(text, lines=True).strip().splitlines()[-3:]))
        say("")

    def finish(self) -> None:
        ids = [machine["InstanceId"] for machine in self.machines()]
        with self.output.step("boto3: both terminated"):
            self.client.terminate_instances(InstanceIds=ids)
            self.wait_for_state(ids, "terminated")

    def connect(self) -> None:
        directory = self.home / "admin"
        os.environ["AWS_CONFIG_FILE"] = str(directory / "config")
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(directory / "credentials")
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL_EC2"):
            os.environ.pop(name, None)
        quick = ClientConfig(connect_timeout=5, read_timeout=30, proxies={}, retries={"max_attempts": 2})
        self.client = boto3.client("ec2", config=quick)

    def launch(self, zone: str) -> str:
        images = self.client.describe_images()["Images"]
        image = next(one["ImageId"] for one in images if one["ImageType"] == "machine")
        made = self.client.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            KeyName="demo",
            InstanceType="m1.small",
            Placement={"AvailabilityZone": zone},
        )
        return str(made["Instances"][0]["InstanceId"])

    def machines(self) -> list[dict[str, Any]]:
        found = self.client.describe_instances()["Reservations"]
        return [machine for reservation in found for machine in reservation["Instances"]]

    def wait_for_state(self, ids: list[str], wanted: str) -> list[dict[str, Any]]:
        def arrived() -> list[dict[str, Any]] | None:
            found = [machine for machine in self.machines() if machine["InstanceId"] in ids]
            states = {machine["State"]["Name"] for machine in found}
            if "terminated" in states and wanted != "terminated":
                raise Failed(f"a machine ended instead: {[machine.get('StateReason') for machine in found]}")
            return found if states == {wanted} else None

        return until(arrived, 60.0, f"{', '.join(ids)} {wanted}")

    def log_in(self, machine: dict[str, Any]) -> None:
        id, address = machine["InstanceId"], machine["PublicIpAddress"]

        def tried() -> str | None:
            command = [*ssh(self.key), f"root@{address}", "uname -a && uptime"]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
            )
            return done.stdout if done.returncode == 0 else None

        with self.output.step(f"ssh root@{address}  ({id}, {machine['Placement']['AvailabilityZone']})"):
            said = until(tried, SSH_WAIT, f"an answer from ssh at {address}")
        self.output.say("\n".join(f"    | {line}" for line in clean(said, lines=True).strip().splitlines()))

    def console(self, id: str) -> str:
        return str(self.client.get_console_output(InstanceId=id).get("Output", ""))

    # ------------------------------------------------------------------------------------------- start and end
    def euca(self, *words: str, quiet: bool = False) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(self.home), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
        )
        if done.returncode:
            raise Failed(f"euca {words[0]} ended with exit code {done.returncode}")

    def end(self) -> None:
        with self.output.step("everything ended and removed"):
            self.euca("down", quiet=True)
            shutil.rmtree(self.home)
        left = leftovers(str(self.home))
        if left:
            raise Failed("left behind: " + "; ".join(left))

    def keep(self) -> None:
        first = self.machines()[0]["PublicIpAddress"]
        commands = f"""
It runs on.  To paste:

  export EUCA_HOME={self.home} PATH={Path(sys.executable).parent}:$PATH
  . {self.home}/admin/eucarc
  euca status
  aws ec2 describe-instances --output table
  {" ".join(ssh(self.key))} root@{first}

To end it and remove all of it:

  euca down && rm -r {self.home}
"""
        print(commands)

    def log_tails(self) -> None:
        for file in sorted(self.home.glob("log/*.log")) + sorted(self.home.glob("hosts/*/log/*.log")):
            lines = file.read_text(errors="replace").splitlines()[-12:]
            if lines:
                print(f"\n--- {file.relative_to(self.home)}")
                print("\n".join(clean(line) for line in lines))


class Failed(Exception):
    """A step did not come about; the sentence says which."""


def until(arrived: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while True:
        found = arrived()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s for {what}")
        time.sleep(0.3)


def ssh(key: Path) -> list[str]:
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=10",
    )
    return ["ssh", "-F", "/dev/null", "-i", str(key), *(part for one in options for part in ("-o", one))]


def free_port() -> int:
    """A base port above which all that the cloud listens on is free now."""
    while True:
        base = random.randrange(20000, 28000)  # noqa: S311
        if all(unused(base + offset) for offset in OFFSETS):
            return base


def unused(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def leftovers(home: str) -> list[str]:
    """Processes and mounts that name the home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if home in command and int(entry.name) != os.getpid():
            found.append(f"process {entry.name}: {command[:120]}")
    return found + [line for line in Path("/proc/self/mounts").read_text().splitlines() if home in line]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave it running and print what to paste next")
    keep = parser.parse_args().keep
    if os.geteuid() != 0:  # namespaces of its own, and port 22 of loopback addresses
        os.execvp("sudo", ["sudo", sys.executable, *sys.argv])  # noqa: S606
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    demo, kept = Demo(), False
    try:
        demo.run()
        if keep:
            kept = True
            demo.keep()
        else:
            demo.finish()
    except BaseException as failure:
        if not isinstance(failure, KeyboardInterrupt | SystemExit):
            print(f"\nThe demo failed: {failure}")
            demo.log_tails()
        raise SystemExit(1) from failure
    finally:
        if not kept:
            demo.end()
    print(f"\nDone in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
