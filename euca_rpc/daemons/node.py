"""The node controller's process: one host.

A host that has no certificate yet enrols with its one-time token; the key is made here and never
leaves. Inside a host of `euca_rpc.host` the environment names its libvirt and its boot id.
"""

from __future__ import annotations

import os
from pathlib import Path

from euca_rpc.carrier import Answer
from euca_rpc.config import NODE as PORT
from euca_rpc.config import Config
from euca_rpc.daemons import command
from euca_rpc.daemons.frame import Frame, enrol_once, leave
from euca_rpc.errors import EucaError
from euca_rpc.ids import SystemIds, node_id
from euca_rpc.images.cache import ImageCache
from euca_rpc.images.client import download, store
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.open import open_backend
from euca_rpc.node.service import NodeService
from euca_rpc.wire.contracts import CLUSTER, NODE, object_name
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.tls import Contexts

GIB = 1 << 30


def main(config: Config, zone: str, host: str, port: int | None = None, token: str | None = None) -> None:
    directory = config.identity(NODE, zone, host)
    if token:
        enrol_once(directory, token)
    frame = Frame(config, directory, f"node-{zone}-{host}")
    if frame.identity.peer != PeerName(NODE, zone, host):
        raise EucaError(
            "config_invalid",
            f"{directory} holds the certificate of the {frame.identity.peer.text}, not of {zone}/{host}.",
        )
    contexts = Contexts(frame.identity)
    frame.renewed.append(contexts.use)
    home = config.node_home(zone, host)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    images = ImageCache(
        home / "images",
        lambda ref, path: download(ref, contexts.client, path),
        config.node.image_cache_gb * GIB,
        frame.clock,
    )
    backend = open_backend(
        machine_maker(config),
        home,
        images,
        virt=config.node.hypervisor,
        network=config.network.mode,
        clock=frame.clock,
    )

    words = config.node.sleep_command

    def rest() -> None:
        command.run(words, {"zone": zone, "host": host, "home": str(config.home)})

    def nothing(answer: Answer) -> None:
        """A lost poke loses nothing: the cluster controller asks anyway."""

    service = NodeService(
        node_id(zone, host),
        frame.identity.cloud_id,
        home,
        backend.hypervisor,
        images,
        frame.carrier,
        frame.clock,
        SystemIds(),
        offer(config),
        backend.network,
        poke=lambda: frame.carrier.call(object_name(CLUSTER, zone), "poke", {}, nothing),
        disks=backend.disks,
        store=lambda order, file, format: store(order, file, format, contexts.client),
        rest=rest if words else None,
        mac=config.node.wake_address or first_card(),
    )
    frame.offer(service, port or config.port(PORT))
    leave(frame.run(service))


def first_card(cards: Path = Path("/sys/class/net")) -> str:
    """The MAC address of the first network card that is one; "" if there is none."""
    for card in sorted(cards.glob("*")):
        address = card / "address"
        if (card / "device").exists() and address.exists():
            return address.read_text().strip().lower()
    return ""


def machine_maker(config: Config) -> str:
    """What runs the machines: "simulated", or the URI of a libvirt.  Inside a host of `euca_rpc.host`: that host's."""
    kind = config.node.hypervisor
    if kind == "simulated":
        return kind
    if config.node.libvirt_uri:
        return config.node.libvirt_uri
    if kind in ("test", "xen"):
        return {"test": "test:///default", "xen": "xen:///system"}[kind]
    host = os.environ.get("EUCA_HOST_DIRECTORY")
    return f"qemu+unix:///system?socket={host}/run/libvirt-sock" if host else "qemu:///system"


def offer(config: Config) -> OfferSettings:
    node = config.node
    return OfferSettings(
        cores=node.cores or None,
        memory_mb=node.memory_mb or None,
        disk_gb=node.disk_gb or None,
        cores_ratio=node.cores_ratio,
        memory_ratio=node.memory_ratio,
        disk_ratio=node.disk_ratio,
        reserve_cores=node.reserve_cores,
        reserve_memory_mb=node.reserve_memory_mb,
        reserve_disk_gb=node.reserve_disk_gb,
    )
