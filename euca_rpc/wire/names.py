"""Who somebody is: one name in one certificate, ``euca://<cloud id>/<role>[/<zone>[/<host>]]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from euca_rpc import ids
from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts

SCHEME = "euca://"
ROLE_TEXT = {
    contracts.CLOUD: "cloud controller",
    contracts.CLUSTER: "cluster controller",
    contracts.NODE: "node controller",
    contracts.IMAGES: "image server",
    contracts.NAMESERVER: "name server",
    contracts.ADMIN: "administrator",
}


@dataclass(frozen=True, slots=True)
class PeerName:
    """Who somebody is.  A node has zone and host, a cluster controller its zone, the others neither."""

    role: str
    zone: str = ""
    host: str = ""

    def __post_init__(self) -> None:
        parts = [part for part in (self.zone, self.host) if part]
        wanted = {contracts.NODE: 2, contracts.CLUSTER: 1}.get(self.role, 0)
        fits = len(parts) == wanted or (self.role == contracts.ADMIN and not self.host)
        if self.role not in contracts.ROLES or not fits or not all(map(ids.is_name, parts)):
            raise EucaError(
                "parameter_invalid",
                f"({self.role!r}, {self.zone!r}, {self.host!r}) names no peer: a node has a zone and a host, a"
                " cluster has a zone, each of the letters a-z, digits and hyphens",
            )

    @property
    def path(self) -> str:
        return "/".join(part for part in (self.role, self.zone, self.host) if part)

    def uri(self, cloud_id: str) -> str:
        return f"{SCHEME}{cloud_id}/{self.path}"

    @property
    def text(self) -> str:
        """``node controller open/host1``, for sentences."""
        return " ".join(
            p for p in (ROLE_TEXT[self.role], "/".join(p for p in (self.zone, self.host) if p)) if p
        )

    @property
    def object_name(self) -> str:
        return contracts.object_name(self.role, self.zone, self.host)

    @classmethod
    def of_path(cls, path: str) -> PeerName:
        return cls(*path.split("/")) if path.count("/") <= 2 else cls("")

    @classmethod
    def of_object(cls, name: str) -> PeerName:
        """Who must offer the object ``euca.node.open.host1``."""
        prefix, _, rest = name.partition(".")
        if prefix != "euca" or rest.count(".") > 2:
            raise EucaError(
                "parameter_invalid", f"{name!r} is not the name of an object of this cloud (euca.…)"
            )
        return cls(*rest.split("."))


@dataclass(frozen=True, slots=True)
class Peer:
    """What a certificate says."""

    name: PeerName
    cloud_id: str
    serial: int
    begins_at: Micros
    expires_at: Micros


@lru_cache(maxsize=1024)
def read_certificate(der: bytes) -> Peer:
    """The one name in a certificate; refuses any other shape."""
    certificate = x509.load_der_x509_certificate(der)
    uris = uris_of(certificate)
    if len(uris) != 1 or not uris[0].startswith(SCHEME) or "/" not in uris[0][len(SCHEME) :]:
        raise EucaError("role_refused", f"a certificate with the names {uris} is not one of a cloud's own")
    cloud_id, _, path = uris[0][len(SCHEME) :].partition("/")
    try:
        name = PeerName.of_path(path)
    except EucaError as error:
        raise EucaError("role_refused", f"a certificate with the name {uris[0]}: {error.sentence}") from None
    return Peer(
        name,
        cloud_id,
        certificate.serial_number,
        _micros(certificate.not_valid_before_utc),
        _micros(certificate.not_valid_after_utc),
    )


def uris_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _micros(at: datetime) -> Micros:
    return int(at.timestamp()) * SECOND


Revoked = Callable[[], frozenset[int]]


def nothing_revoked() -> frozenset[int]:
    return frozenset()
