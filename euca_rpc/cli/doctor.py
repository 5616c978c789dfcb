"""`euca doctor`: what is wrong on this machine and what to do about it.

Each check is a function of the configuration that answers with findings; one that itself fails is a
finding. Nothing is changed and nothing is asked of another machine but the name server and the cloud
controller.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from euca_rpc import config as configuration
from euca_rpc.cli.frame import REFUSED, Command, Invocation, invocation
from euca_rpc.cli.readiness import accepts
from euca_rpc.cli.remote import ask
from euca_rpc.cli.status import processes
from euca_rpc.clock import SECOND, SystemClock, moment
from euca_rpc.config import Config
from euca_rpc.daemons.programs import every_node, real_guests
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import PROGRAMS, LibvirtHost
from euca_rpc.wire.pki import Identity

LEAST_DISK_GB = 5
EARLIEST = 1_735_689_600 * SECOND  # 2025-01-01: a clock before that was never set


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    ok: bool
    found: str
    advice: str = ""


def home(config: Config) -> Iterator[Finding]:
    if not config.home.is_dir():
        yield Finding("home", False, f"{config.home} does not exist", "euca init, or say --home")
        return
    mode = config.home.stat().st_mode & 0o777
    private = not mode & 0o077
    yield Finding(
        "home", private, f"{config.home}, mode {mode:04o}", "" if private else f"chmod 700 {config.home}"
    )


def disk(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(config.home).free >> 30
    good = free >= LEAST_DISK_GB
    advice = (
        "" if good else "make room: images and machines' disks are kept here, and a full disk stops launches"
    )
    yield Finding("disk", good, f"{free} GiB free for {config.home}", advice)


def clock(config: Config) -> Iterator[Finding]:
    now = SystemClock().wall()
    good = now > EARLIEST
    yield Finding(
        "clock", good, moment(now), "" if good else "set the clock: signatures and certificates need it"
    )


def certificates(config: Config) -> Iterator[Finding]:
    now = SystemClock().wall()
    directories = sorted((config.home / "identities").glob("*/"))
    if not directories:
        yield Finding("certificates", False, "none", "euca init, or enrol this host: euca node --token …")
    for directory in directories:
        name = f"certificate {directory.name}"
        try:
            identity = Identity.load(directory)
        except EucaError as error:
            yield Finding(
                name, False, error.sentence, "enrol again, or run `euca init` where the authority is"
            )
            continue
        if now >= identity.expires_at:
            yield Finding(
                name,
                False,
                f"of the {identity.peer.text} expired at {moment(identity.expires_at)}",
                "`euca init` or `euca up` makes another where the authority is; elsewhere enrol again "
                "(euca node token, euca zone_token)",
            )
        elif identity.own.begins_at > now:
            yield Finding(name, False, f"is valid from {moment(identity.own.begins_at)}", "set the clock")
        else:
            late = identity.due_for_renewal(now)
            yield Finding(
                name,
                not late,
                f"ends at {moment(identity.expires_at)}",
                "it should have renewed itself: is the cloud controller reachable?" if late else "",
            )


def ports(config: Config) -> Iterator[Finding]:
    """Of the daemons that belong on this host: free while they are down, answered while they are up."""
    running = {row["name"] for row in processes(config) if row["running"]}
    offsets = {
        "cloud": configuration.CLOUD,
        "nameserver": configuration.NAMESERVER,
        "images": configuration.IMAGES,
        "EC2": configuration.EC2,
    }
    known: bool | None = None  # does the cloud controller say that this is its cloud?
    for name, offset in offsets.items():
        daemon, port = name if name != "EC2" else "cloud", config.port(offset)
        if not config.identity(daemon).is_dir():
            continue
        answered = accepts((config.listen.address, port))
        if answered and daemon not in running and known is None:
            known = by_hand(config)
        if answered and (daemon in running or known):
            yield Finding(f"port {port} ({name})", True, "answers")
        elif answered:
            yield Finding(
                f"port {port} ({name})",
                False,
                "another process has it",
                f"find it with: ss -ltnp 'sport = {port}', or move the cloud: euca up --port",
            )
        elif daemon in running:
            yield Finding(f"port {port} ({name})", False, "nobody answers", f"look into {config.logs}")
        else:
            yield Finding(f"port {port} ({name})", True, "free")


def by_hand(config: Config) -> bool:
    """Daemons that an init system started have no pid file of ours; the cloud controller tells that it is there."""
    try:
        ask(config, "status", timeout=3.0)
    except EucaError:
        return False
    return True


def daemons(config: Config) -> Iterator[Finding]:
    for row in processes(config):
        if not row["running"]:
            name = row["name"]
            yield Finding(
                f"daemon {name}", False, "ended", f"see {config.logs / (name + '.log')}; euca up starts it"
            )


def libvirt(config: Config) -> Iterator[Finding]:
    if not real_guests(config):
        yield Finding("libvirt", True, f"not needed: machines are {config.node.hypervisor}")
        return
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = {name: package for name, package in PROGRAMS.items() if not shutil.which(name, path=path)}
    if lacking:
        yield Finding(
            "libvirt",
            False,
            f"{', '.join(lacking)} missing",
            f"apt-get install {' '.join(set(lacking.values()))}",
        )
        return
    if os.geteuid() != 0:
        yield Finding(
            "libvirt", False, "this user is not root", "real machines need namespaces: run euca up as root"
        )
    if not Path("/dev/kvm").exists():
        yield Finding("kvm", True, "no /dev/kvm: machines are emulated, which works and is slow")
    for zone, host in every_node(config):
        directory = config.host_home(zone, host)
        if directory.is_dir():
            yield host_finding(LibvirtHost(directory, f"{zone}-{host}"))


def host_finding(host: LibvirtHost) -> Finding:
    name = f"host {host.name}"
    if host.init_pid is None:
        return Finding(name, True, "off")
    began = time.monotonic()
    try:
        done = subprocess.run(
            ["virsh", "-c", host.uri, "version"], capture_output=True, text=True, timeout=10
        )
    except subprocess.TimeoutExpired:
        return Finding(
            name, False, "libvirt did not answer in 10 s", f"see {host.directory / 'log' / 'libvirtd.log'}"
        )
    if done.returncode:
        return Finding(
            name, False, done.stderr.strip()[-200:], f"see {host.directory / 'log' / 'libvirtd.log'}"
        )
    return Finding(name, True, f"libvirt answers in {time.monotonic() - began:.1f} s")


def network(config: Config) -> Iterator[Finding]:
    yield Finding("bridge", True, "not needed in network mode 'user'")
    if not real_guests(config):
        return
    probe = str(config.network.address_pool).partition("/")[0].rsplit(".", 1)[0] + ".2"
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((probe, 22))
            yield Finding("machines' port 22", True, f"can be bound, as at {probe}")
        except OSError as error:
            yield Finding(
                "machines' port 22",
                False,
                f"{probe}: {error.strerror}",
                "run as root; if it is in use, an ssh server listens on all addresses: give it ListenAddress, or choose "
                "another --address-pool",
            )


def cloud(config: Config) -> Iterator[Finding]:
    started = any(row["name"] == "cloud" and row["running"] for row in processes(config))
    if not started and not by_hand(config):
        yield Finding("cloud controller", True, "not running from this home")
        return
    try:
        told = ask(config, "status", timeout=5.0)
    except EucaError as error:
        yield Finding("cloud controller", False, error.sentence, f"look into {config.logs / 'cloud.log'}")
        return
    yield Finding("cloud controller", True, f"answers at {told['now']}")
    if told["clock"]:
        yield Finding("cloud time", False, told["clock"], "set the clock, or restart the cloud controller")
    for zone in told["zones"]:
        if not zone["up"]:
            yield Finding(
                f"zone {zone['name']}", False, zone["trouble"], "is its cluster controller running?"
            )
    for node in told["nodes"]["silent"]:
        yield Finding(
            f"node {node}", False, "silent", f"is its host on? If it is off for good: euca node fence {node}"
        )
    for node, said in told["nodes"].get("not_waking", {}).items():
        yield Finding(
            f"node {node}", False, said, "does [cluster] wake_command wake it? Or switch it on by hand"
        )
    for node, said in told["nodes"]["warnings"].items():
        for warning in said:
            yield Finding(f"node {node}", False, warning, "make room on that host, or drain the node")


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    home,
    disk,
    clock,
    certificates,
    ports,
    daemons,
    libvirt,
    network,
    cloud,
)


def examine(config: Config) -> list[Finding]:
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check(config)
        except Exception as error:  # the doctor goes on to the next patient
            found.append(Finding(check.__name__, False, f"could not be checked: {error}"))
        if found and found[-1].check == "home" and not config.home.is_dir():
            break
    return found


@click.command(
    "doctor",
    cls=Command,
    help="Look at disk, clock, certificates, ports, libvirt, bridge and daemons of this machine: what is wrong, what "
    "to do. Exit code 1 if anything is.",
    examples="euca doctor\neuca doctor --json | jq '.[] | select(.ok | not)'",
)
@click.pass_context
@invocation
def doctor(one: Invocation, context: click.Context) -> None:
    found = examine(one.config())
    if one.as_json:
        one.output.document([asdict(finding) for finding in found])
    else:
        for finding in found:
            one.output.say(
                f"{'ok   ' if finding.ok else 'WRONG'}  {finding.check}: {finding.found}",
                "" if finding.ok else "red",
            )
            if finding.advice:
                one.output.say(f"       → {finding.advice}")
    if not all(finding.ok for finding in found):
        context.exit(REFUSED)
