"""The image server's process: blobs over HTTPS, apart from the control plane's interpreter."""

from __future__ import annotations

from euca_rpc.config import IMAGES as PORT
from euca_rpc.config import Config
from euca_rpc.daemons.frame import Frame, leave
from euca_rpc.images.blobs import Blobs
from euca_rpc.images.server import ImageServer
from euca_rpc.wire.contracts import IMAGES
from euca_rpc.wire.pki import PeerName, read_certificate
from euca_rpc.wire.tls import Contexts, check_peer


def main(config: Config) -> None:
    frame = Frame(config, config.identity(IMAGES), "images", workers=1)
    contexts = Contexts(frame.identity)

    def peer_of(der: bytes) -> PeerName:
        peer = read_certificate(der)
        check_peer(peer, ("", 0), frame.identity.cloud_id, frame.revoked, frame.clock.wall())
        return peer.name

    server = ImageServer(
        Blobs(config.blobs),
        contexts.server,
        peer_of,
        config.ticket_key.read_bytes(),
        config.listen.address,
        config.port(PORT),
        frame.clock,
    )
    frame.renewed.append(contexts.use)
    server.start()
    code = frame.run()
    server.stop()
    leave(code)
