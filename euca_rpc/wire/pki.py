"""The cloud's own certificates: who a daemon is, said once and checked everywhere.

    node: make_key_and_csr ──csr──► Authority.issue(csr, peer) ──certificate──► node: install

A certificate carries exactly one name, as a URI: ``euca://<cloud id>/<role>[/<zone>[/<host>]]``.  The authority takes
nothing from a request but its public key, and that only with a proof that the asker holds the private half, which is
made where it is used and never travels.  What was issued and what was revoked is on disk before the call returns.

An identity is a directory with `ca.pem`, `cert.pem`, `key.pem`.  A renewal puts a new key beside the old one as
`key.new.pem`; `install` writes the certificate first and moves the key after it, and `load` completes the move if a
crash came between the two.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from euca_rpc import ids
from euca_rpc.clock import SECOND, Micros, SystemClock, moment
from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.files import append_line, read_json, write_atomically, write_json

SCHEME = "euca://"
CA_DAYS = 3650
CERT_DAYS = 90
SKEW = timedelta(minutes=5)  # a fresh certificate is good on hosts whose clock is a little behind
ROLE_TEXT = {
    contracts.CLOUD: "cloud controller",
    contracts.CLUSTER: "cluster controller",
    contracts.NODE: "node controller",
    contracts.IMAGES: "image server",
    contracts.NAMESERVER: "name server",
    contracts.ADMIN: "administrator",
}


# ------------------------------------------------------------------------------------------------- names
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
    uris = _uris(certificate)
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


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _micros(at: datetime) -> Micros:
    return int(at.timestamp()) * SECOND


def fingerprint(ca_pem: bytes) -> str:
    """Hex SHA-256 of the certificate's DER: what an enrolment token pins."""
    return x509.load_pem_x509_certificate(ca_pem).fingerprint(hashes.SHA256()).hex()


# ---------------------------------------------------------------------------------------------- authority
class Authority:
    """The cloud's certificate authority: a directory that only the cloud controller's user may read."""

    def __init__(
        self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._dir = directory
        self._key = key
        self._certificate = certificate
        self.cloud_id = _uris(certificate)[0][len(SCHEME) :]
        self._revoked: frozenset[int] = frozenset()
        self._revoked_stamp: tuple[int, int] | None = None

    @classmethod
    def create(cls, directory: Path, cloud_id: str, *, now: Micros | None = None) -> Authority:
        if not ids.is_name(cloud_id):
            raise EucaError(
                "parameter_invalid", f"cloud id {cloud_id!r}: use the letters a-z, digits, hyphens"
            )
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (directory / "ca.pem").exists():
            raise EucaError(
                "state_conflict",
                f"{directory} already holds a certificate authority: a second one would cut off every daemon;"
                " move the directory away if that is what you want",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "euca-rpc certificate authority")])
        begin = _moment(now) - SKEW
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + cloud_id)]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        write_atomically(directory / "ca.key", _key_pem(key), mode=0o600)
        write_atomically(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, key, certificate)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        try:
            key = _load_key(directory / "ca.key")
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise EucaError(
                "config_invalid", f"{directory} holds no certificate authority that can be read: {error}"
            ) from None
        return cls(directory, key, certificate)

    @property
    def ca_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, csr_pem: bytes, peer: PeerName, *, days: float = CERT_DAYS, now: Micros | None = None
    ) -> bytes:
        """A certificate for ``peer``: the public key from the request, everything else from us."""
        try:
            request = x509.load_pem_x509_csr(csr_pem)
            public = request.public_key()
            proven = request.is_signature_valid
        except Exception as error:  # the parser raises many kinds, and one more each release
            raise EucaError("parameter_invalid", f"the certificate request cannot be read: {error}") from None
        if not proven:
            raise EucaError("parameter_invalid", "the certificate request is not signed by the key it names")
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise EucaError(
                "parameter_invalid", "a certificate request must hold an elliptic curve key on P-256"
            )
        begin = _moment(now) - SKEW
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROLE_TEXT[peer.role])]))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + SKEW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(peer.uri(self.cloud_id))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        append_line(self._dir / "issued.txt", f"{certificate.serial_number} {peer.path}")
        return certificate.public_bytes(serialization.Encoding.PEM)

    def serials_of(self, peer: PeerName) -> tuple[int, ...]:
        """Every certificate ever issued to ``peer``."""
        issued = self._dir / "issued.txt"
        if not issued.exists():
            return ()
        lines = (line.partition(" ") for line in issued.read_text().splitlines())
        return tuple(int(serial) for serial, _, path in lines if path == peer.path)

    def revoke(self, which: PeerName | int) -> frozenset[int]:
        """Never to be trusted again, on disk when this returns.  Answers with all that are revoked."""
        serials = self.serials_of(which) if isinstance(which, PeerName) else (which,)
        everything = self.revoked() | set(serials)
        write_json(self._dir / "revoked.json", {"serials": sorted(map(str, everything))})
        return self.revoked()

    def revoked(self) -> frozenset[int]:
        """Read again when the file changed: an offline command may have revoked one."""
        path = self._dir / "revoked.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            return self._revoked
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._revoked_stamp:
            self._revoked = frozenset(int(serial) for serial in read_json(path)["serials"])
            self._revoked_stamp = stamp
        return self._revoked


def renew(
    authority: Authority, peer: PeerName, csr_pem: bytes, now: Micros, *, days: float = CERT_DAYS
) -> bytes:
    """The answer to `cloud.renew`: a fresh certificate for the caller's own name and no other."""
    return authority.issue(csr_pem, peer, days=days, now=now)


def _moment(now: Micros | None) -> datetime:
    return datetime.fromtimestamp((SystemClock().wall() if now is None else now) / SECOND, UTC)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic curve key")
    return key


# ----------------------------------------------------------------------------------------------- identity
@dataclass(frozen=True, slots=True)
class Identity:
    """A daemon's certificate and key, and the only authority it trusts."""

    directory: Path
    own: Peer

    @classmethod
    def load(cls, directory: Path) -> Identity:
        try:
            der = ssl.PEM_cert_to_DER_cert((directory / "cert.pem").read_text())
            _complete_install(directory)
            _load_key(directory / "key.pem")
            own = read_certificate(der)
            (directory / "ca.pem").read_bytes()
        except (OSError, ValueError) as error:
            raise EucaError(
                "config_invalid",
                f"{directory} holds no certificate that can be used ({error}): enrol this host, or point the"
                " configuration at the directory that `euca init` or `euca node enrol` filled",
            ) from None
        return cls(directory, own)

    @property
    def peer(self) -> PeerName:
        return self.own.name

    @property
    def cloud_id(self) -> str:
        return self.own.cloud_id

    @property
    def expires_at(self) -> Micros:
        return self.own.expires_at

    @property
    def ca_pem(self) -> bytes:
        return (self.directory / "ca.pem").read_bytes()

    def due_for_renewal(self, now: Micros) -> bool:
        """From two thirds of its life on: a month to notice that renewals fail."""
        return now >= self.own.begins_at + (self.own.expires_at - self.own.begins_at) * 2 // 3

    def check_not_expired(self, now: Micros) -> None:
        if now >= self.expires_at:
            raise EucaError(
                "role_refused",
                f"our own certificate as {self.peer.text} in {self.directory} expired at"
                f" {moment(self.expires_at)}: no peer accepts it; enrol again",
            )

    @staticmethod
    def make_key_and_csr(directory: Path, peer: PeerName | None) -> bytes:
        """A new key, here and for its owner only, and the request for its certificate."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        write_atomically(directory / "key.new.pem", _key_pem(key), mode=0o600)
        common = ROLE_TEXT[peer.role] if peer else "to be named by the cloud"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def install(cls, directory: Path, cert_pem: bytes, ca_pem: bytes) -> Identity:
        certificate = x509.load_pem_x509_certificate(cert_pem)
        if not any(_matches(directory / name, certificate) for name in ("key.new.pem", "key.pem")):
            raise EucaError("parameter_invalid", f"the certificate is for none of the keys in {directory}")
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
        write_atomically(directory / "ca.pem", ca_pem)
        write_atomically(directory / "cert.pem", cert_pem)
        return cls.load(directory)


def _matches(path: Path, certificate: x509.Certificate) -> bool:
    return path.exists() and _load_key(path).public_key() == certificate.public_key()


def _complete_install(directory: Path) -> None:
    certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    if _matches(directory / "key.new.pem", certificate):
        os.replace(directory / "key.new.pem", directory / "key.pem")


Revoked = Callable[[], frozenset[int]]


def nothing_revoked() -> frozenset[int]:
    return frozenset()
