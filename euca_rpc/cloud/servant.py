"""The remote object `euca.cloud`: what other daemons and the command line may ask of the cloud controller.

Each method is a row of `wire.contracts`; the wire has checked the caller's role before it comes here.  ``peer`` is whom
the caller's certificate names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from euca_rpc.cloud import admin
from euca_rpc.cloud.admin import Context
from euca_rpc.wire.contracts import CLOUD, CONTRACT, OLDEST


class Peer(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def host(self) -> str: ...


class CloudServant:
    def __init__(self, context: Context, start_id: str, administrator: str) -> None:
        self._context, self._start_id, self._administrator = context, start_id, administrator

    def hello(self) -> dict[str, Any]:
        return {"role": CLOUD, "contract": [OLDEST, CONTRACT], "boot_id": self._start_id}

    def poke(self, peer: Peer) -> None:
        """A cluster controller speaks for its own zone only."""
        self._context.cloud.poke(peer.zone)

    def renew(self, csr: str, peer: Peer) -> dict[str, Any]:
        """Everybody renews the name that it has, no other."""
        return {"certificate": self._context.trust.renew(peer.role, peer.zone, peer.host, csr)}

    def revoked(self) -> dict[str, Any]:
        return {"serials": self._context.trust.revoked()}

    def admin(self, verb: str, args: Mapping[str, Any], peer: Peer) -> Any:
        """An administrator's certificate may name its user; the first administrator's names none."""
        caller = admin.administrator(self._context.cloud, peer.zone or self._administrator)
        return admin.call(self._context, caller, verb, args)
