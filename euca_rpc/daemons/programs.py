"""What one machine runs under `euca up`: every daemon as a command line, with its port.

With real guests each node controller runs inside a host of its own (`euca_rpc.host`): a private libvirtd in its own
namespaces, so that nothing of the machine's own libvirt is touched and all is gone with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Sequence

from euca_rpc import config as configuration
from euca_rpc.config import Config
from euca_rpc.daemons.supervisor import HOST_GRACE, Program
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import PROGRAMS, LibvirtHost
from euca_rpc.node.virtualisation import choose_virtualisation


def controllers(config: Config) -> list[Program]:
    programs = [
        Program("nameserver", euca(config, "nameserver")),
        Program("cloud", euca(config, "cloud")),
        Program("images", euca(config, "images", "serve")),
    ]
    for number, zone in enumerate(config.up.zones):
        port = str(config.port(configuration.CLUSTER + number))
        programs.append(
            Program(f"cluster-{zone}", euca(config, "cluster", "--zone", zone, "--listen-port", port))
        )
    return programs


def every_node(config: Config) -> list[tuple[str, str]]:
    return [(zone, f"host-{n + 1}") for zone in config.up.zones for n in range(config.up.nodes)]


def node_program(config: Config, zone: str, host: str) -> Program:
    every = every_node(config)
    port = config.port(configuration.NODE + every.index((zone, host)))
    arguments = ["node", "--zone", zone, "--host", host, "--listen-port", str(port)]
    if real_guests(config):
        arguments += ["--offer", *map(str, share(config, len(every), here(config, zone, host).commands))]
        if (
            config.node.hypervisor == "auto"
        ):  # tried once for all nodes of this machine; the answer is kept in the home
            arguments += ["--hypervisor", choose_virtualisation("qemu:///system", config.home)]
    argv = euca(config, *arguments)
    if real_guests(config):
        directory = config.host_home(zone, host)
        argv = [sys.executable, "-m", "euca_rpc.host", str(directory), f"{zone}-{host}", "--", *argv]
    return Program(f"node-{zone}-{host}", argv, grace=HOST_GRACE)


def here(config: Config, zone: str, host: str) -> LibvirtHost:
    return LibvirtHost(config.host_home(zone, host), f"{zone}-{host}")


def running_on(config: Config) -> frozenset[str]:
    """Nodes whose hosts are on, without anybody who holds them, and run what they would be started with now: a
    supervisor was killed, and their guests need not notice."""
    if not real_guests(config):
        return frozenset()
    found = set()
    for node in every_node(config):
        if commands := here(config, *node).commands:
            program = node_program(config, *node)
            if commands == [list(program.argv)[program.argv.index("--") + 1 :]]:
                found.add(program.name)
    return frozenset(found)


def real_guests(config: Config) -> bool:
    return config.node.hypervisor in ("auto", "kvm", "qemu", "xen")


def check_host(config: Config) -> None:
    """Before anything is made: what real machines need and this user or machine has not."""
    if not real_guests(config):
        return
    kind = config.node.hypervisor
    instead = "To try the cloud without real machines: euca up --hypervisor simulated"
    if os.geteuid() != 0:
        raise EucaError(
            "unsupported",
            f"Real machines (hypervisor {kind!r}) need root here, and this is user {os.geteuid()}: every host is a mount "
            "and PID namespace with a libvirtd of its own, and machines answer on port 22. Run it again with sudo. "
            f"{instead}",
        )
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = {name: package for name, package in PROGRAMS.items() if not shutil.which(name, path=path)}
    if lacking:
        raise EucaError(
            "unsupported",
            f"Real machines (hypervisor {kind!r}) need {', '.join(sorted(lacking))}, missing here: apt-get install "
            f"{' '.join(sorted(set(lacking.values())))}. {instead}",
        )


def check_ports(config: Config, kept: frozenset[str] = frozenset()) -> None:
    """Before anything is made: a daemon that finds its port taken would only die again and again.  Those of ``kept``
    have theirs."""
    fixed = (
        configuration.EC2,
        configuration.NAMESERVER,
        configuration.CLOUD,
        configuration.IMAGES,
        configuration.ENROL,
    )
    offsets = [*fixed, *(configuration.CLUSTER + n for n in range(len(config.up.zones)))]
    offsets += [
        configuration.NODE + n
        for n, (zone, host) in enumerate(every_node(config))
        if f"node-{zone}-{host}" not in kept
    ]
    ports = [config.port(offset) for offset in offsets]
    if "portal" in config.cloud.interfaces:
        ports.append(config.portal_port)
    for port in ports:
        with socket.socket(socket.AF_INET6 if ":" in config.listen.address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((config.listen.address, port))
            except OSError as error:
                raise EucaError(
                    "state_conflict",
                    f"Port {port} of {config.listen.address} cannot be had: {error.strerror}. Move this "
                    f"cloud with --port (its daemons use {config.listen.port} and above), or find who has it: "
                    f"ss -ltnp 'sport = {port}'",
                ) from None


def share(config: Config, of: int, running: Sequence[Sequence[str]] = ()) -> tuple[int, int, int]:
    """Nodes that stand on one machine divide what it has: together they never offer more than there is.  One that
    ``running`` shows to be on already goes on offering what it did, but for what the settings say."""
    said = (config.node.cores, config.node.memory_mb, config.node.disk_gb)
    room = os.statvfs(config.home)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    disk = room.f_bavail * room.f_frsize >> 30
    cores = os.cpu_count() or 1
    free = [max(1, cores // of), int(memory * 3 / 4) // of, int(disk * 3 / 4) // of]
    if running and "--offer" in running[0]:
        at = running[0].index("--offer") + 1
        free = [int(number) for number in running[0][at : at + 3]]
    return said[0] or free[0], said[1] or free[1], said[2] or free[2]


def euca(config: Config, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(config.home), *arguments]
