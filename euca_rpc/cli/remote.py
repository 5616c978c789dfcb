"""The command line's one way to the cloud: the object `euca.cloud`, asked with the administrator's
certificate.

It works from any host that has the identity directory and knows where the name server is.
"""

from __future__ import annotations

from typing import Any

from euca_rpc.config import CLOUD, Config
from euca_rpc.errors import EucaError
from euca_rpc.wire.contracts import ADMIN, object_name
from euca_rpc.wire.contracts import CLOUD as CLOUD_ROLE
from euca_rpc.wire.directory import Directory
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.pyro import Remote

WAIT = 30.0  # seconds; as in the row of wire.contracts


def ask(config: Config, verb: str, args: dict[str, Any] | None = None, timeout: float = WAIT) -> Any:
    """One verb of `cloud.admin`."""
    identity = administrator(config)
    directory = Directory(identity, config.nameserver, identity.directory / "addresses.json")
    remote = Remote(identity, directory)
    try:
        return remote.call(object_name(CLOUD_ROLE), "admin", {"verb": verb, "args": args or {}}, timeout)
    finally:
        remote.close()


def administrator(config: Config) -> Identity:
    where = config.identity(ADMIN)
    if not where.is_dir():
        raise EucaError(
            "config_invalid",
            f"{config.home} holds no administrator's certificate ({where} is missing). Run `euca init` there, or"
            " copy that directory from the cloud controller's home and set listen.nameserver, or say --home.",
            facts={"cloud_port": config.port(CLOUD)},
        )
    return Identity.load(where)
