"""The certificate authority as the cloud controller asks for it (`cloud.nodes.Trust`)."""

from __future__ import annotations

from collections.abc import Callable

from euca_rpc.clock import Clock
from euca_rpc.wire import pki
from euca_rpc.wire.enrol import Tokens
from euca_rpc.wire.pki import Authority, PeerName


class AuthorityTrust:
    def __init__(
        self, authority: Authority, tokens: Tokens, clock: Clock, where: Callable[[], tuple[str, int]]
    ) -> None:
        self._authority, self._tokens, self._clock = authority, tokens, clock
        self._where = where  # of the enrolment server, as written into tokens

    def token(self, role: str, zone: str, host: str) -> str:
        name, now = PeerName(role, zone, host), self._clock.wall()
        return self._tokens.make(name, *self._where(), self._authority.ca_pem, now).text

    def revoke(self, role: str, zone: str, host: str) -> None:
        self._authority.revoke(PeerName(role, zone, host))

    def revoked(self) -> list[str]:
        return sorted(map(str, self._authority.revoked()))

    def renew(self, role: str, zone: str, host: str, request_pem: str) -> str:
        name = PeerName(role, zone, host)
        return pki.renew(self._authority, name, request_pem.encode(), self._clock.wall()).decode()
