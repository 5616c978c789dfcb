"""The image server's process: blobs over HTTPS, apart from the control plane's interpreter."""

from __future__ import annotations

import logging

from euca_rpc.config import IMAGES as PORT
from euca_rpc.config import Config
from euca_rpc.daemons.frame import Frame, leave
from euca_rpc.images.blobs import Blobs
from euca_rpc.images.qcow2 import Limits
from euca_rpc.images.server import ImageServer
from euca_rpc.wire.contracts import IMAGES
from euca_rpc.wire.pki import PeerName, read_certificate
from euca_rpc.wire.tls import Contexts, check_peer

log = logging.getLogger(__name__)


def main(config: Config) -> None:
    frame = Frame(config, config.identity(IMAGES), "images", workers=1)
    contexts = Contexts(frame.identity)
    blobs = Blobs(config.blobs)
    if gone := blobs.sweep(config.images.upload_hours * 3600):
        log.info("%d interrupted uploads were too old to be resumed and are gone", gone)

    def peer_of(der: bytes) -> PeerName:
        peer = read_certificate(der)
        check_peer(peer, ("", 0), frame.identity.cloud_id, frame.revoked, frame.clock.wall())
        return peer.name

    server = ImageServer(
        blobs,
        contexts.server,
        peer_of,
        config.ticket_key.read_bytes(),
        config.listen.address,
        config.port(PORT),
        frame.clock,
        limits(config),
    )
    frame.renewed.append(contexts.use)
    server.start()
    code = frame.run()
    server.stop()
    leave(code)


def limits(config: Config) -> Limits:
    said = config.images
    return Limits(
        said.largest_gb << 30, said.largest_disk_gb << 30, kernel_bytes=said.largest_kernel_mb << 20
    )
