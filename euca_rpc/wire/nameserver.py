"""The name server: Pyro's own, with its SQL storage, behind the same door as every other daemon.

It answers to anybody with a certificate of this cloud, and takes from each only that one's own name: a compromised
node cannot call itself the cloud.  There is no broadcast, and names survive a restart.  `nameserver.conf` holds its
settings; what it leaves out is taken from the cloud's configuration.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from Pyro5 import core, errors
from Pyro5.nameserver import NameServer as PyroNames
from Pyro5.nameserver import SqlStorage

from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.pki import Identity, PeerName, Revoked, nothing_revoked
from euca_rpc.wire.pyro import Endpoint
from euca_rpc.wire.tls import at

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """`nameserver.conf`.  None: as the cloud's configuration says."""

    address: str | None = None  # to listen on
    port: int | None = None
    storage: str = "names.sqlite"  # relative to the cloud's home
    connections: int = 1024  # at once; the longest idle one is closed for a new one


def read_settings(path: Path) -> Settings:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise EucaError("config_invalid", f"{path} cannot be read: {error}") from None
    kinds = {"address": str, "port": int, "storage": str, "connections": int}
    for key, value in values.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, 1) or [", ".join(f.name for f in fields(Settings))]
            raise EucaError("config_invalid", f"{path}: there is no setting {key!r}; did you mean {near[0]}?")
        if type(value) is not kinds[key]:
            raise EucaError("config_invalid", f"{path}: {key} must be of type {kinds[key].__name__}")
    settings = Settings(**values)
    if settings.connections < 1 or not 0 <= (settings.port or 0) <= 65535:
        raise EucaError("config_invalid", f"{path}: port or connections is out of range")
    return settings


class NameServer:
    def __init__(
        self,
        identity: Identity,
        host: str,
        port: int,
        storage_path: Path,
        *,
        revoked: Revoked = nothing_revoked,
        connections: int = 1024,
    ) -> None:
        name = contracts.object_name(contracts.NAMESERVER)
        self.endpoint = Endpoint(
            identity, host, port, {name: Names(storage_path)}, revoked=revoked, threads=connections
        )

    def start(self) -> None:
        self.endpoint.start()

    def stop(self) -> None:
        self.endpoint.stop()

    @property
    def port(self) -> int:
        return self.endpoint.port


class Names:
    """The servant: the contract's words for what Pyro's name server does."""

    def __init__(self, storage_path: Path) -> None:
        self._names = PyroNames(SqlStorage(str(storage_path)))

    def hello(self) -> dict[str, Any]:
        return {"role": contracts.NAMESERVER, "oldest": contracts.OLDEST, "contract": contracts.CONTRACT}

    def lookup(self, name: str) -> dict[str, Any]:
        """``{"address": [host, port]}``, or None in its place: nobody has registered that name."""
        try:
            uri = self._names.lookup(str(name))
        except errors.NamingError:
            return {"address": None}
        return {"address": [uri.host, uri.port]}

    def names(self) -> dict[str, Any]:
        uris = {name: core.URI(uri) for name, uri in self._names.list().items()}
        return {"names": {name: [uri.host, uri.port] for name, uri in uris.items()}}

    def register(self, name: str, host: str, port: int, *, peer: PeerName) -> dict[str, Any]:
        if name != peer.object_name:
            raise EucaError(
                "role_refused",
                f"the {peer.text} may register {peer.object_name} and no other name, but asked for {str(name)[:200]}",
            )
        if (
            not isinstance(host, str)
            or not _HOST.fullmatch(host)
            or type(port) is not int
            or not 0 < port < 65536
        ):
            raise EucaError("parameter_invalid", f"{name} cannot be registered: that is no host and port")
        if self.lookup(name)["address"] != [host, port]:  # said again and again: written once
            self._names.register(name, f"PYRO:{name}@{at((host, port))}")
        return {}
