"""A domain's XML: a pure function of its plan and of the virtualisation type.

The same plan gives KVM, QEMU (TCG), Xen and libvirt's test driver; what differs is in `KINDS` and `_os`.  Everything is
built as a tree, so nothing in a plan can become markup.  Our mark goes into <metadata> under our own namespace: by it,
and by nothing else, a domain is recognised as ours.
"""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from euca_rpc.errors import EucaError
from euca_rpc.node.hypervisor import Disk, DomainPlan, Mark, NetworkPlan

MARK = "urn:euca-rpc:mark:1"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
NAMESPACES = {"euca": MARK}
FOREVER_OURS = uuid.UUID("5b0c9a52-5d0c-4d5b-9a0e-6f1f6f0f7d21")  # name space of the machines' UUIDs
NETWORK_SLOT = "0x1d"  # libvirt hands slots out from below
TB_CACHE_MB = 32  # without it a QEMU under TCG grows by hundreds of MB


@dataclass(frozen=True, slots=True)
class Kind:
    """What one virtualisation type wants."""

    cpu: str  # mode of <cpu>; "" = none
    bus: str
    disk: str  # name of the first disk
    machines: dict[str, str]
    random: bool = True


KINDS = {
    "kvm": Kind("host-passthrough", "virtio", "vda", {"x86_64": "pc", "aarch64": "virt"}),
    "qemu": Kind("maximum", "virtio", "vda", {"x86_64": "pc", "aarch64": "virt"}),
    "xen": Kind("", "xen", "xvda", {"x86_64": "xenfv"}, random=False),
    "test": Kind("", "virtio", "vda", {}, random=False),
}


def domain_xml(plan: DomainPlan, virt: str) -> str:
    """``virt``: "kvm" | "qemu" | "xen" | "test"."""
    kind = KINDS.get(virt)
    if kind is None:
        raise EucaError("config_invalid", f"Virtualisation {virt!r} is not one of {', '.join(KINDS)}.")
    by_command_line = plan.network.mode == "user" and virt in ("kvm", "qemu")
    if plan.network.mode == "user" and virt == "xen":
        raise EucaError(
            "unsupported", "Network mode user is QEMU's own; machines under Xen need a bridged mode."
        )
    spaces = {"qemu": QEMU} if by_command_line else {}
    domain = etree.Element("domain", {"type": virt}, nsmap=spaces)
    _add(domain, "name", plan.name)
    _add(domain, "uuid", str(uuid.uuid5(FOREVER_OURS, f"{plan.mark.cloud_id}/{plan.mark.instance_id}")))
    _add(domain, "metadata").append(mark_element(plan.mark))
    _add(domain, "memory", str(plan.size.memory_mb), unit="MiB")
    _add(domain, "vcpu", str(plan.size.cores))
    _os(domain, plan, virt, kind)
    _features(domain, virt, plan.architecture)
    if kind.cpu:
        _add(domain, "cpu", mode=kind.cpu, check="none")
    _add(domain, "clock", offset="utc")
    for name, what in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _add(domain, name, what)
    _devices(domain, plan, virt, kind)
    if by_command_line:
        line = etree.SubElement(domain, f"{{{QEMU}}}commandline")
        for argument in user_network_arguments(plan.network):
            etree.SubElement(line, f"{{{QEMU}}}arg", value=argument)
    etree.indent(domain)
    return etree.tostring(domain, encoding="unicode") + "\n"


def backup_xml(disk: str, to: Path) -> str:
    """A backup job that writes the disk named ``disk``, and no other, into a new qcow2 file."""
    backup = etree.Element("domainbackup", mode="push")
    element = _add(_add(backup, "disks"), "disk", name=disk, backup="yes", type="file")
    _add(element, "driver", type="qcow2")
    _add(element, "target", file=str(to.resolve()))
    return etree.tostring(backup, encoding="unicode")


def mark_element(mark: Mark) -> etree._Element:
    return etree.Element(
        f"{{{MARK}}}mark",
        {
            "cloud": mark.cloud_id,
            "node": mark.node_id,
            "instance": mark.instance_id,
            "generation": str(mark.generation),
        },
        nsmap=NAMESPACES,
    )


def read_mark(text: str) -> Mark | None:
    """The mark in what libvirt gives back as our metadata; None if it is not one."""
    try:
        element = etree.fromstring(text, _PARSER)
        if etree.QName(element).localname != "mark":
            return None
        at = element.attrib
        return Mark(str(at["cloud"]), str(at["node"]), str(at["instance"]), int(str(at["generation"])))
    except (etree.XMLSyntaxError, KeyError, ValueError):
        return None


_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)


def user_network_arguments(network: NetworkPlan) -> list[str]:
    """libvirt 9 has no XML for forwards of QEMU's user network.

    ``restrict=on``: the guest reaches neither the host's loopback nor anything beyond; forwards still come in.
    """
    net = ipaddress.IPv4Network(network.guest_network)
    guest = ipaddress.IPv4Address(network.guest_address)
    # QEMU answers as gateway and name server; the guest's own address may be any of the network
    gateway, resolver = [address for address in (net[2], net[3], net[4]) if address != guest][:2]
    options = ["user", "id=user0", "restrict=on", f"net={net}", f"host={gateway}", f"dns={resolver}"]
    options.append(f"dhcpstart={guest}")
    options += [f"hostfwd=tcp:{f.host_address}:{f.host_port}-:{f.guest_port}" for f in network.forwards]
    device = ["virtio-net-pci", "netdev=user0", f"mac={network.mac}", "bus=pci.0", f"addr={NETWORK_SLOT}"]
    return ["-netdev", ",".join(options), "-device", ",".join([*device, "romfile="])]


# ------------------------------------------------------------------------------------------------- the parts
def _os(domain: etree._Element, plan: DomainPlan, virt: str, kind: Kind) -> None:
    paravirtual = virt == "xen" and plan.kernel is not None
    firmware = {"firmware": "efi"} if plan.architecture == "aarch64" and plan.kernel is None else {}
    os = _add(domain, "os", **(firmware if virt in ("kvm", "qemu") else {}))
    attributes = {"arch": plan.architecture}
    machine = "xenpv" if paravirtual else kind.machines.get(plan.architecture)
    if machine:
        attributes["machine"] = machine
    _add(os, "type", "linux" if paravirtual else "hvm", **attributes)
    if plan.kernel is not None:
        _add(os, "kernel", str(plan.kernel))
        if plan.ramdisk is not None:
            _add(os, "initrd", str(plan.ramdisk))
        command = plan.cmdline if virt != "xen" else _for_xen(plan.cmdline)
        _add(os, "cmdline", command)
    else:
        if virt == "xen":
            _add(os, "loader", "/usr/lib/xen/boot/hvmloader", type="rom")
        _add(os, "boot", dev="hd")


def _for_xen(command: str) -> str:
    return command.replace("/dev/vda", "/dev/xvda").replace("console=ttyS0", "console=hvc0")


def _features(domain: etree._Element, virt: str, architecture: str) -> None:
    features = _add(domain, "features")
    _add(features, "acpi")
    if architecture == "x86_64":
        _add(features, "apic")
    if virt == "qemu":
        _add(_add(features, "tcg"), "tb-cache", str(TB_CACHE_MB), unit="MiB")


def _devices(domain: etree._Element, plan: DomainPlan, virt: str, kind: Kind) -> None:
    devices = _add(domain, "devices")
    for n, disk in enumerate(plan.disks):
        _disk(devices, disk, kind, n)
    if plan.network.mode not in ("user", "none"):
        raise EucaError("unsupported", f"Network mode {plan.network.mode!r} has no domain XML yet.")
    if virt == "xen" and plan.kernel is not None:
        _add(_add(devices, "console", type="pty"), "target", type="xen", port="0")
    else:
        serial = _add(devices, "serial", type="file")  # virtlogd rotates it: bounded
        _add(serial, "source", path=str(plan.console), append="on")
        _add(serial, "target", port="0")
    if kind.random:
        _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    if virt in ("kvm", "qemu"):
        _add(devices, "memballoon", model="none")


def _disk(devices: etree._Element, disk: Disk, kind: Kind, n: int) -> None:
    element = _add(devices, "disk", type="file", device="disk")
    # a full host disk is the guest's write error, which it sees, not a silent pause
    _add(element, "driver", name="qemu", type=disk.format, error_policy="report")
    _add(element, "source", file=str(disk.path))
    _add(element, "target", dev=kind.disk[:-1] + chr(ord("a") + n), bus=kind.bus)
    if disk.read_only:
        _add(element, "readonly")
    if kind.bus == "virtio":
        _add(element, "serial", disk.serial)


def _add(parent: etree._Element, tag: str, text: str | None = None, /, **attributes: Any) -> etree._Element:
    element = etree.SubElement(parent, tag, **attributes)
    element.text = text
    return element
