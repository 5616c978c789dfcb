"""From a setting to what a node controller is built from: hypervisor, disks and network that belong together.

"simulated"                 machines are lines in a file below the home
"test:///default" …         libvirt's own test driver
"qemu:///system" …          a real libvirt; `virt` "auto" finds out whether KVM works
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from euca_rpc.clock import Clock
from euca_rpc.errors import EucaError
from euca_rpc.node.disks import RealDisks
from euca_rpc.node.hypervisor import Hypervisor
from euca_rpc.node.machine import Disks, ImageSource, NoDisks
from euca_rpc.node.network import Network, NoNetwork, UserNetwork
from euca_rpc.node.simulated import SimulatedHypervisor
from euca_rpc.node.virtualisation import choose_virtualisation


@dataclass(frozen=True, slots=True)
class Backend:
    hypervisor: Hypervisor
    disks: Disks
    network: Network


def open_backend(
    kind: str,
    home: Path,
    images: ImageSource,
    *,
    virt: str = "auto",
    network: str = "user",
    ssh_port: int = 22,
    cores: int = 8,
    memory_mb: int = 16384,
    architecture: str = "x86_64",
    clock: Clock | None = None,
    boot_id: Callable[[], str] | None = None,
) -> Backend:
    """``kind`` is "simulated" or a libvirt URI.  Cores, memory and architecture are those of a simulated or test host."""
    if kind == "simulated":
        simulated = SimulatedHypervisor(
            home / "simulated", cores=cores, memory_mb=memory_mb, architecture=architecture, clock=clock
        )
        return Backend(simulated, NoDisks(), NoNetwork())
    if ":" not in kind:
        raise EucaError(
            "config_invalid",
            f"The hypervisor {kind!r} is neither `simulated` nor a libvirt URI such as qemu:///system or test:///default.",
        )
    from euca_rpc.node.libvirt_driver import LibvirtHypervisor  # libvirt-python is an optional dependency

    chosen = choose_virtualisation(kind, home) if virt == "auto" else virt
    if chosen == "test":
        uri = (
            f"test://{empty_host(home, cores, memory_mb, architecture)}"
            if kind == "test:///default"
            else kind
        )
        return Backend(LibvirtHypervisor(uri, "test", boot_id), NoDisks(), NoNetwork())
    networks: dict[str, Network] = {"user": UserNetwork(ssh_port), "none": NoNetwork()}
    if network not in networks:
        raise EucaError(
            "config_invalid", f"The network mode {network!r} is not one of {', '.join(networks)}."
        )
    return Backend(LibvirtHypervisor(kind, chosen, boot_id), RealDisks(images), networks[network])


def empty_host(home: Path, cores: int, memory_mb: int, architecture: str) -> Path:
    """libvirt's built-in test host already runs a domain larger than its memory; this one is ours alone."""
    node = etree.Element("node")
    cpu = etree.SubElement(node, "cpu")
    values = {
        "mhz": 2000,
        "model": architecture,
        "active": cores,
        "nodes": 1,
        "sockets": 1,
        "cores": cores,
        "threads": 1,
    }
    for tag, value in values.items():
        etree.SubElement(cpu, tag).text = str(value)
    etree.SubElement(node, "memory").text = str(memory_mb * 1024)
    path = (home / "test-host.xml").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(etree.tostring(node, pretty_print=True))
    return path
