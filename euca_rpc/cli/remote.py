"""The command line's one way to the cloud: the object `euca.cloud`, asked with the administrator's
certificate.

It works from any host that has the identity directory and knows where the name server is.
"""

from __future__ import annotations

import contextlib
from typing import Any

from euca_rpc.clock import SystemClock
from euca_rpc.config import CLOUD, Config
from euca_rpc.errors import EucaError
from euca_rpc.wire.contracts import ADMIN, object_name
from euca_rpc.wire.contracts import CLOUD as CLOUD_ROLE
from euca_rpc.wire.directory import Directory
from euca_rpc.wire.files import locked
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.pyro import Remote

WAIT = 30.0  # seconds; as in the row of wire.contracts


def ask(config: Config, verb: str, args: dict[str, Any] | None = None, timeout: float = WAIT) -> Any:
    """One verb of `cloud.admin`."""
    identity = administrator(config)
    identity.check_not_expired(SystemClock().wall())
    directory = Directory(identity, config.nameserver, identity.directory / "addresses.json")
    remote = Remote(identity, directory)
    try:
        answer = remote.call(object_name(CLOUD_ROLE), "admin", {"verb": verb, "args": args or {}}, timeout)
        if identity.due_for_renewal(SystemClock().wall()):
            renew(identity, remote)
        return answer
    finally:
        remote.close()


def renew(identity: Identity, remote: Remote) -> None:
    """The administrator's certificate has no daemon that would.  What was asked is done, so no trouble is told; of
    several commands at once one renews."""
    with contextlib.suppress(EucaError, OSError), locked(identity.directory / "renewal"):
        if Identity.load(identity.directory) == identity:
            request = Identity.make_key_and_csr(identity.directory, identity.peer)
            answer = remote.call(object_name(CLOUD_ROLE), "renew", {"csr": request.decode()})
            Identity.install(identity.directory, answer["certificate"].encode(), identity.ca_pem)


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
