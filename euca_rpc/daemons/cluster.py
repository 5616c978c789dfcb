"""The cluster controller's process: one zone, its nodes, and nothing on disk but its certificate."""

from __future__ import annotations

from typing import Any

from euca_rpc.carrier import Answer
from euca_rpc.cluster.roster import ClusterSettings
from euca_rpc.cluster.service import ClusterService
from euca_rpc.config import CLUSTER as PORT
from euca_rpc.config import Config
from euca_rpc.daemons import command
from euca_rpc.daemons.frame import Frame, enrol_once, leave
from euca_rpc.ids import SystemIds
from euca_rpc.wire.contracts import BY_OBJECT, CLOUD, CLUSTER, object_name
from euca_rpc.wire.pki import PeerName

WORKERS = 64  # a zone may have hundreds of nodes, some of them silent


class Servant:
    """The service on the wire: a console is waited for here, on the caller's own connection."""

    def __init__(self, service: ClusterService) -> None:
        self._service = service
        self.hello, self.report, self.roster = service.hello, service.report, service.roster
        self.ensure, self.absent = service.ensure, service.absent
        self.stop, self.reboot = service.stop, service.reboot
        self.capture, self.forget_captures = service.capture, service.forget_captures

    def console(self, node: str, instance_id: str) -> Any:
        return self._service.console(node, instance_id).result(BY_OBJECT[CLUSTER, "console"].timeout)

    def sleep(self, node: str, until: int) -> Any:
        return self._service.sleep(node, until).result(BY_OBJECT[CLUSTER, "sleep"].timeout)

    def rouse(self, node: str, mac: str) -> Any:
        return self._service.rouse(node, mac).result(BY_OBJECT[CLUSTER, "rouse"].timeout)

    def poke(self, peer: PeerName) -> Any:
        return self._service.poke(peer)


def main(config: Config, zone: str, port: int | None = None, token: str | None = None) -> None:
    if token:
        enrol_once(config.identity(CLUSTER, zone), token)
    frame = Frame(config, config.identity(CLUSTER, zone), f"cluster-{zone}", WORKERS)

    words = config.cluster.wake_command

    def wake_node(node: str, mac: str) -> None:
        host = node.partition("/")[2]
        command.run(words, {"node": node, "zone": zone, "host": host, "mac": mac, "home": str(config.home)})

    def nothing(answer: Answer) -> None:
        """A lost poke loses nothing: the cloud controller asks anyway."""

    def poke() -> None:
        frame.carrier.call(object_name(CLOUD), "poke", {}, nothing)

    service = ClusterService(
        zone,
        frame.carrier,
        frame.clock,
        SystemIds(),
        poke=poke,
        revoked=frame.take_revoked,
        settings=settings(config),
        wake_node=wake_node if words else None,
    )
    frame.offer(Servant(service), port or config.port(PORT))
    leave(frame.run(service))


def settings(config: Config) -> ClusterSettings:
    said = config.cluster
    return ClusterSettings.of(
        {"poll": said.poll_seconds, "silence": said.silence_seconds, "backoff": said.backoff_seconds}
    )
