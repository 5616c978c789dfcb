"""TLS between the daemons: one context for each direction, trusting the cloud's own authority and nobody else.

Both are made from an identity, on the thread that starts the daemon, before anything can use them; no library's stock
context is ever touched (Pyro's also trusts the system's public authorities and is published half made).  Who the peer
is comes from the DER of its certificate, never from a message, and is compared with who was asked for: the encryption
alone only says "somebody of this cloud".
"""

from __future__ import annotations

import socket
import ssl
import time

from euca_rpc.clock import Micros, SystemClock, moment
from euca_rpc.errors import EucaError
from euca_rpc.wire.pki import Identity, Peer, PeerName, Revoked, read_certificate

Address = tuple[str, int]

# X509 verify codes that deserve a sentence of their own
_EXPIRED = 10
_NOT_YET_VALID = 9


class Contexts:
    """The two contexts of an identity.  After a renewal, `use` loads the new one: it counts for new connections."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.server = _context(ssl.PROTOCOL_TLS_SERVER, identity)
        self.server.num_tickets = 0  # nothing unasked-for in a pooled connection: readable means closed
        self.client = _context(ssl.PROTOCOL_TLS_CLIENT, identity)

    def use(self, identity: Identity) -> None:
        for context in (self.server, self.client):
            context.load_cert_chain(identity.directory / "cert.pem", identity.directory / "key.pem")
        self.identity = identity


def _context(side: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.check_hostname = False  # names here are roles and hosts, not DNS: `check_peer` compares them
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=identity.ca_pem.decode())
    context.load_cert_chain(identity.directory / "cert.pem", identity.directory / "key.pem")
    return context


def at(address: Address) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def peer_of(sock: ssl.SSLSocket) -> Peer:
    der = sock.getpeercert(binary_form=True)
    if der is None:
        raise EucaError("role_refused", "the peer showed no certificate")
    return read_certificate(der)


def check_peer(peer: Peer, address: Address, cloud_id: str, revoked: Revoked, now: Micros) -> None:
    """Of this cloud, still valid, not revoked.  Asked again for every call: connections live long."""
    where = f"the peer at {at(address)} is the {peer.name.text}"
    if peer.cloud_id != cloud_id:
        raise EucaError(
            "role_refused", f"{where} of the cloud {peer.cloud_id!r}, but this is the cloud {cloud_id!r}"
        )
    if now >= peer.expires_at:
        raise EucaError("role_refused", f"{where}, but its certificate expired at {moment(peer.expires_at)}")
    if peer.serial in revoked():
        raise EucaError(
            "role_refused",
            f"{where}, but its certificate (serial {peer.serial}) was revoked: the host was removed or fenced;"
            " enrol it again if it is to come back",
        )


def check_name(peer: Peer, address: Address, expected: PeerName) -> None:
    if peer.name != expected:
        raise EucaError(
            "role_refused",
            f"asked for {expected.object_name}, but the peer at {at(address)} is the {peer.name.text}",
        )


def connect(
    contexts: Contexts, address: Address, expected: PeerName, revoked: Revoked, timeout: float
) -> ssl.SSLSocket:
    """A checked connection to ``expected``; every failure is an EucaError that names it, the address and the moment."""
    asked = f"{expected.object_name} at {at(address)}"
    deadline = time.monotonic() + timeout
    try:
        plain = socket.create_connection(address, timeout)
    except OSError as error:
        raise EucaError(
            "unreachable", f"no connection to {asked} (tried {_now()}): {reason_of(error)}"
        ) from None
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.settimeout(max(0.01, deadline - time.monotonic()))
        sock = contexts.client.wrap_socket(plain)
    except OSError as error:
        plain.close()
        raise handshake_error(error, asked, contexts.identity) from None
    try:
        peer = peer_of(sock)
        check_peer(peer, address, contexts.identity.cloud_id, revoked, SystemClock().wall())
        check_name(peer, address, expected)
    except BaseException:
        sock.close()
        raise
    return sock


def handshake_error(error: OSError, asked: str, identity: Identity) -> EucaError:
    return distrust(error, asked, identity) or EucaError(
        "unreachable", f"no TLS connection to {asked} (tried {_now()}): {reason_of(error)}"
    )


def distrust(error: OSError, asked: str, identity: Identity) -> EucaError | None:
    """If one side did not believe the other: which and why.  With TLS 1.3 a server's refusal of our certificate
    arrives only after the handshake, in place of the first answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = {
            _EXPIRED: "the peer's certificate has expired",
            _NOT_YET_VALID: "the peer's certificate is not valid yet: compare the two hosts' clocks",
        }.get(error.verify_code) or (
            f"the peer's certificate is not one of the cloud {identity.cloud_id!r} ({error.verify_message})"
        )
        return EucaError("role_refused", f"asked for {asked}, but {what}")
    reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return _own_expiry(identity) or EucaError(
            "role_refused",
            f"asked for {asked}, but the peer refuses our certificate as {identity.peer.text} of the cloud"
            f" {identity.cloud_id!r} ({reason.lower().replace('_', ' ')})",
        )
    return None


def _own_expiry(identity: Identity) -> EucaError | None:
    try:
        identity.check_not_expired(SystemClock().wall())
    except EucaError as error:
        return error
    return None


def reason_of(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


def _now() -> str:
    return moment(SystemClock().wall())
