"""Domain XML against golden files and libvirt's own schema.  EUCA_WRITE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from euca_rpc.errors import EucaError
from euca_rpc.node.domain_xml import MARK, domain_xml, mark_element, read_mark
from euca_rpc.node.hypervisor import Disk, DomainPlan, Forward, Mark, NetworkPlan
from euca_rpc.node.machine import CMDLINE
from euca_rpc.types import Size

GOLDEN = Path(__file__).parent / "golden_domains"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

USER = NetworkPlan("user", "d0:0d:00:00:00:0a", "10.9.8.7", "10.9.8.0/24", (Forward("127.31.0.5", 22, 22),))
FIRMWARE = DomainPlan(
    mark=Mark("cloud-1", "west/one", "i-0000000a", 3),
    name="i-0000000a",
    mac="d0:0d:00:00:00:0a",
    size=Size(2, 512, 10),
    architecture="x86_64",
    disks=(
        Disk(Path("/h/i/disk.qcow2"), "qcow2", "root"),
        Disk(Path("/h/i/seed.iso"), "raw", "cidata", read_only=True),
    ),
    network=USER,
    console=Path("/h/i/console.log"),
)
KERNEL = replace(FIRMWARE, kernel=Path("/h/i/kernel"), ramdisk=Path("/h/i/ramdisk"), cmdline=CMDLINE)
NONE = NetworkPlan("none", "d0:0d:00:00:00:0a")
ARM = replace(FIRMWARE, architecture="aarch64")

CASES = {
    "kvm-firmware": (FIRMWARE, "kvm"),
    "kvm-kernel": (KERNEL, "kvm"),
    "kvm-aarch64": (ARM, "kvm"),
    "qemu-firmware": (FIRMWARE, "qemu"),
    "qemu-kernel": (KERNEL, "qemu"),
    "qemu-no-network": (replace(KERNEL, network=NONE), "qemu"),
    "xen-firmware": (replace(FIRMWARE, network=NONE), "xen"),
    "xen-kernel": (replace(KERNEL, network=NONE), "xen"),
    "test": (KERNEL, "test"),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text = domain_xml(*CASES[name])
    path = GOLDEN / f"{name}.xml"
    if os.environ.get("EUCA_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    if not SCHEMA.exists():
        pytest.skip("libvirt's schemas are not installed")
    return etree.RelaxNG(etree.parse(str(SCHEMA)))


@pytest.mark.parametrize("name", CASES)
def test_valid_against_libvirts_schema(name: str, schema: etree.RelaxNG) -> None:
    schema.assertValid(etree.fromstring(domain_xml(*CASES[name])))


def test_the_schema_would_notice(schema: etree.RelaxNG) -> None:
    assert not schema.validate(etree.fromstring(domain_xml(KERNEL, "qemu").replace("<vcpu>2", "<vcpu>two")))


def test_the_mark_comes_back() -> None:
    mark = Mark('a"&<cloud', "west/one", "i-0000000a", 12)
    assert read_mark(etree.tostring(mark_element(mark), encoding="unicode")) == mark
    assert read_mark("<x/>") is None
    assert read_mark(f'<mark xmlns="{MARK}" cloud="a"/>') is None
    assert read_mark("<mark") is None


def test_nothing_in_a_plan_becomes_markup() -> None:
    plan = replace(KERNEL, cmdline="a</cmdline><evil/>&b", console=Path("/h/<x>"))
    domain = etree.fromstring(domain_xml(plan, "qemu"))
    assert domain.findtext("os/cmdline") == "a</cmdline><evil/>&b"
    assert domain.find(".//evil") is None


@pytest.mark.parametrize(("guest", "host", "dns"), [("2", "3", "4"), ("3", "2", "4"), ("200", "2", "3")])
def test_the_guest_gets_its_address_whatever_it_is(guest: str, host: str, dns: str) -> None:
    network = replace(USER, guest_address=f"10.9.8.{guest}")
    text = domain_xml(replace(KERNEL, network=network), "qemu")
    assert f"restrict=on,net=10.9.8.0/24,host=10.9.8.{host},dns=10.9.8.{dns},dhcpstart=10.9.8.{guest}" in text


def test_refusals() -> None:
    with pytest.raises(EucaError, match="not one of kvm, qemu, xen, test"):
        domain_xml(KERNEL, "vmware")
    with pytest.raises(EucaError, match="need a bridged mode"):
        domain_xml(KERNEL, "xen")
    with pytest.raises(EucaError, match="'vlan' has no domain XML yet"):
        domain_xml(replace(KERNEL, network=NetworkPlan("vlan", "")), "qemu")
