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
from euca_rpc.daemons.frame import Frame, leave
from euca_rpc.errors import EucaError
from euca_rpc.ids import SystemIds, node_id
from euca_rpc.images.cache import ImageCache
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.hypervisor import Hypervisor
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import Network, NoNetwork, UserNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.wire.contracts import CLUSTER, NODE, object_name
from euca_rpc.wire.enrol import enrol
from euca_rpc.wire.pki import PeerName

GIB = 1 << 30


def main(config: Config, zone: str, host: str, port: int | None = None, token: str | None = None) -> None:
    directory = config.identity(NODE, zone, host)
    if token and not (directory / "cert.pem").exists():
        enrol(token, directory)
    frame = Frame(config, directory, f"node-{zone}-{host}")
    if frame.identity.peer != PeerName(NODE, zone, host):
        raise EucaError(
            "config_invalid",
            f"{directory} holds the certificate of the {frame.identity.peer.text}, not of {zone}/{host}.",
        )
    home = config.node_home(zone, host)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    simulated = config.node.hypervisor in ("simulated", "test")

    def nothing(answer: Answer) -> None:
        """A lost poke loses nothing: the cluster controller asks anyway."""

    service = NodeService(
        node_id(zone, host),
        frame.identity.cloud_id,
        home,
        hypervisor(config, home, frame),
        ImageCache(home / "images", lambda: frame.identity, config.node.image_cache_gb * GIB),
        frame.carrier,
        frame.clock,
        SystemIds(),
        offer(config),
        network(simulated),
        poke=lambda: frame.carrier.call(object_name(CLUSTER, zone), "poke", {}, nothing),
        disks=NoDisks() if simulated else None,
    )
    frame.offer(service, port or config.port(PORT))
    leave(frame.run(service))


def hypervisor(config: Config, home: Path, frame: Frame) -> Hypervisor:
    """Each driver is imported only where it runs: libvirt is not everywhere."""
    kind = config.node.hypervisor
    if kind == "simulated":
        from euca_rpc.node.simulated import SimulatedHypervisor

        return SimulatedHypervisor(home / "simulated", clock=frame.clock)
    raise EucaError("unsupported", f"the hypervisor {kind}")


def network(simulated: bool) -> Network:
    return NoNetwork() if simulated else UserNetwork()


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


def boot_id() -> str:
    """The host's, or that of the machine when the node runs straight on it."""
    return os.environ.get("EUCA_BOOT_ID") or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
