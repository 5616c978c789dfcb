"""`euca up`, `euca down`: a whole cloud on one machine, each daemon a process of its own.

    up ─ init what is missing ─ supervisor ─┬─ name server, cloud controller, image server, one cluster per zone
                                            └─ a node for every zone and number, once it has enrolled

A node enrols as one on another host would: the cloud controller is told of it, gives a one-time token,
and the node's key is made where it is used.  What is run, and with which ports: `daemons.programs`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click

from euca_rpc import config as configuration
from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.init import prepare, usable, welcome, zone_names
from euca_rpc.cli.output import Output
from euca_rpc.cli.readiness import accepts, follow
from euca_rpc.cli.remote import ask
from euca_rpc.config import Config
from euca_rpc.daemons import log as logs
from euca_rpc.daemons import pids
from euca_rpc.daemons.frame import rotation
from euca_rpc.daemons.programs import (
    check_host,
    check_ports,
    controllers,
    euca,
    every_node,
    node_program,
    running_on,
)
from euca_rpc.daemons.supervisor import HOST_GRACE, Program, Supervisor
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.wire.contracts import NODE
from euca_rpc.wire.enrol import enrol

log = logging.getLogger(__name__)

SUPERVISOR = "up"
RUNS = (
    "What runs the machines. auto: KVM if a guest really runs under it, else QEMU. kvm, qemu, xen: that one; all of these "
    "need root. test: libvirt's test driver, simulated: our own; nothing really runs with these two, they need no root "
    "and take hundreds of nodes on one machine. With test a node that ends has lost power; simulated machines live on "
    "in a file."
)
NAMESERVER_WAIT = 3.0  # seconds
DOWN_GRACE = HOST_GRACE + 10.0


# ---------------------------------------------------------------------------------------------- the supervisor
@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """The lock ends with the process, however it ends."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.run.mkdir(exist_ok=True, mode=0o700)
    with open(config.run / "up.lock", "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise already_up(config) from None
        yield


def already_up(config: Config) -> EucaError:
    pid = pids.living(config.run / f"{SUPERVISOR}.pid")
    return EucaError(
        "state_conflict", f"The cloud in {config.home} is up already (process {pid}). `euca down` ends it."
    )


def supervise(config: Config) -> None:
    with only_one(config):
        clear_leftovers(config, running_on(config))
        first, *others = controllers(config)
        supervisor = Supervisor([first], config.run, config.logs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: supervisor.end())
        file = config.run / f"{SUPERVISOR}.pid"
        pids.write(file, os.getpid())
        threading.Thread(target=start_others, args=(config, supervisor, others), daemon=True).start()
        try:
            supervisor.run()
        finally:
            file.unlink(missing_ok=True)


def enrolled(config: Config, zone: str, host: str) -> bool:
    return usable(config.identity(NODE, zone, host))


def start_others(config: Config, supervisor: Supervisor, others: list[Program]) -> None:
    """After the name server, for which nobody need wait then; it is no condition, so not for long."""
    until = time.monotonic() + NAMESERVER_WAIT
    while not accepts(config.nameserver) and time.monotonic() < until:
        time.sleep(0.05)
    every = every_node(config)
    waiting = [node for node in every if not enrolled(config, *node)]
    for program in others:
        supervisor.add(program)
    for node in every:
        if node not in waiting:
            supervisor.add(node_program(config, *node))
    for zone, host in waiting:
        while True:
            try:
                enrol(token_for(config, zone, host), config.identity(NODE, zone, host))
                break
            except EucaError as error:
                if error.kind != "unavailable":
                    log.error("%s/%s cannot enrol: %s", zone, host, error.sentence)
                time.sleep(0.2 if error.kind == "unavailable" else 5.0)
        supervisor.add(node_program(config, zone, host))


def token_for(config: Config, zone: str, host: str) -> str:
    """One that is known but holds no certificate was interrupted while it enrolled: it gets another token.  A zone
    that was not there at the first start is made."""
    node = {"zone": zone, "host": host}
    try:
        made = ask(config, "node_add", node, timeout=5.0)
    except EucaError as error:
        if error.symbol == "zone_not_found":
            ask(config, "zone_add", {"zone": zone}, timeout=5.0)
            made = ask(config, "node_add", node, timeout=5.0)
        elif error.symbol == "name_duplicate":
            made = ask(config, "node_token", {"name": f"{zone}/{host}"}, timeout=5.0)
        else:
            raise
    return str(made["token"])


def clear_leftovers(config: Config, kept: frozenset[str] = frozenset()) -> dict[str, str]:
    """What a killed supervisor left running.  Daemons lose nothing by being ended; guests would, so the hosts of
    ``kept`` are only let go of: the next holder finds them on."""
    files = [file for file in sorted(config.run.glob("*.pid")) if file.stem != SUPERVISOR]
    done = {
        file.stem: pids.end(file, HOST_GRACE, signal.SIGHUP if file.stem in kept else signal.SIGTERM)
        for file in files
    }
    for directory in sorted((config.home / "hosts").glob("[a-z0-9]*/")):
        host = LibvirtHost(directory, directory.name)
        if host.init_pid is not None and f"node-{directory.name}" not in kept:
            host.stop()
            done[directory.name] = "ended"
    return done


# ------------------------------------------------------------------------------------------------- the commands
@click.command(
    "up",
    cls=Command,
    help="Start a whole cloud on this machine: what `euca init` makes if it is missing, then each daemon as a process "
    "of its own, started again when it dies. What the options say is remembered in HOME/euca.toml.",
    examples="euca up --home ~/cloud --zones 2 --detach\neuca up --zones east,west --nodes 3 --hypervisor simulated\n"
    "euca up --nodes 40 --hypervisor test",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The base port (EC2); all others lie above it.")
@click.option("--zones", help="How many, or their names: 2, or east,west.")
@click.option("--nodes", type=click.IntRange(0), help="How many in each zone.")
@click.option("--hypervisor", type=click.Choice(configuration.HYPERVISORS), help=RUNS)
@click.option("--address-pool", metavar="NET", help="Machines' public addresses, within 127.0.0.0/8.")
@click.option("--detach", is_flag=True, help="Return when the cloud is ready.")
@click.option("--supervise", "only_supervise", is_flag=True, hidden=True)
@invocation
def up(
    one: Invocation,
    port: int | None,
    zones: str | None,
    nodes: int | None,
    hypervisor: str | None,
    address_pool: str | None,
    detach: bool,
    only_supervise: bool,
) -> None:
    if only_supervise:
        config = one.config()
        logs.begin("up", rotation=rotation(config))
        supervise(config)
        return
    flags = {
        "listen.port": port,
        "up.zones": zone_names(zones),
        "up.nodes": nodes,
        "node.hypervisor": hypervisor,
        "network.address_pool": address_pool,
    }
    config = one.config(flags)
    if pids.living(config.run / f"{SUPERVISOR}.pid"):
        raise already_up(config)
    check_host(config)
    with only_one(config):
        kept = running_on(config)
        clear_leftovers(config, kept)  # of a supervisor that was killed; they hold the ports
    check_ports(config, kept)
    output = one.output
    made = prepare(config, output.step)
    welcome(output, config, made)
    child = start(config)
    try:
        follow(
            config,
            output,
            lambda: child.poll() is None,
            [f"{zone}/{host}" for zone, host in every_node(config)],
        )
    except BaseException:
        stop(config, child)
        raise
    if one.as_json:
        output.document({"home": str(config.home), "ec2_url": config.ec2_url, "pid": child.pid, "made": made})
    else:
        output.say(f"The cloud is up: {config.ec2_url}")
        if "portal" in config.cloud.interfaces:
            output.say(f"Its portal:      {config.portal_url}")
    if not detach:
        wait_for(config, output, child)


def start(config: Config) -> subprocess.Popen[bytes]:
    with open(config.logs / "up.log", "ab") as out:
        return subprocess.Popen(
            euca(config, "up", "--supervise"),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def wait_for(config: Config, output: Output, child: subprocess.Popen[bytes]) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    try:
        output.say("Ctrl-C ends it.")  # whoever has read this may do it at once
        child.wait()
    except KeyboardInterrupt:
        with output.step("everything ended"):
            stop(config, child)


def stop(config: Config, child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(DOWN_GRACE)
    end(config)


def end(config: Config) -> dict[str, str]:
    """The supervisor ends its daemons; what is left after it was killed is ended by its own pid file."""
    done = {SUPERVISOR: pids.end(config.run / f"{SUPERVISOR}.pid", DOWN_GRACE)}
    return done | clear_leftovers(config)


@click.command(
    "down",
    cls=Command,
    help="End the cloud that `euca up` started from this home, and nothing else. For machines it is as if their hosts "
    "lost power: with the next `euca up` they start again from their disks.",
    examples="euca down\neuca down --home ~/cloud",
)
@invocation
def down(one: Invocation) -> None:
    config = one.config()
    if not Path(config.home).is_dir():
        raise EucaError("parameter_invalid", f"{config.home} does not exist, so nothing was started from it.")
    done = end(config)
    if one.as_json:
        one.output.document(done)
    else:
        one.output.say("\n".join(f"{name}: {how}" for name, how in done.items()))
