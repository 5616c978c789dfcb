"""The name server's process: tells daemons where the others are."""

from __future__ import annotations

from pathlib import Path

from euca_rpc.config import NAMESERVER as PORT
from euca_rpc.config import Config
from euca_rpc.daemons.frame import Frame, leave
from euca_rpc.wire.contracts import NAMESERVER
from euca_rpc.wire.nameserver import NameServer, read_settings


def main(config: Config, settings_file: Path | None = None) -> None:
    frame = Frame(config, config.identity(NAMESERVER), "nameserver", workers=1)
    settings = read_settings(settings_file or config.home / "nameserver.conf")
    server = NameServer(
        frame.identity,
        settings.address or config.listen.address,
        settings.port or config.port(PORT),
        config.home / settings.storage,
        revoked=lambda: frame.revoked(),
        connections=settings.connections,
    )
    server.start()
    frame.renewed.append(server.endpoint.use)
    code = frame.run()
    server.stop()
    leave(code)
