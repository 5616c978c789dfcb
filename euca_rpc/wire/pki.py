"""The cloud's own certificate authority: who a daemon is, said once (`names`) and checked everywhere (`tls`).

    node: make_key_and_csr ──csr──► Authority.issue(csr, peer) ──certificate──► node: install      (`identity`)

The authority takes nothing from a request but its public key, and that only with a proof that the asker holds the
private half.  What was issued and what was revoked is on disk before the call returns.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from euca_rpc import ids
from euca_rpc.clock import SECOND, Micros, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire.files import append_line, locked, read_json, write_atomically, write_json
from euca_rpc.wire.identity import Identity, key_pem, load_key
from euca_rpc.wire.names import (
    ROLE_TEXT,
    SCHEME,
    Peer,
    PeerName,
    Revoked,
    nothing_revoked,
    read_certificate,
    uris_of,
)

__all__ = [
    "Authority",
    "Identity",
    "Peer",
    "PeerName",
    "Revoked",
    "fingerprint",
    "nothing_revoked",
    "read_certificate",
    "renew",
]

CA_DAYS = 3650
CERT_DAYS = 90
SKEW = timedelta(minutes=5)  # a fresh certificate is good on hosts whose clock is a little behind


def fingerprint(ca_pem: bytes) -> str:
    """Hex SHA-256 of the certificate's DER: what an enrolment token pins."""
    return x509.load_pem_x509_certificate(ca_pem).fingerprint(hashes.SHA256()).hex()


class Authority:
    """The cloud's certificate authority: a directory that only the cloud controller's user may read."""

    def __init__(
        self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._dir = directory
        self.days: float = CERT_DAYS  # of what it issues, unless it is told otherwise
        self._key = key
        self._certificate = certificate
        self.cloud_id = uris_of(certificate)[0][len(SCHEME) :]
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
        write_atomically(directory / "ca.key", key_pem(key), mode=0o600)
        write_atomically(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, key, certificate)

    @classmethod
    def load(cls, directory: Path, days: float = CERT_DAYS) -> Authority:
        try:
            key = load_key(directory / "ca.key")
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise EucaError(
                "config_invalid", f"{directory} holds no certificate authority that can be read: {error}"
            ) from None
        loaded = cls(directory, key, certificate)
        loaded.days = days
        return loaded

    @property
    def ca_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, csr_pem: bytes, peer: PeerName, *, days: float | None = None, now: Micros | None = None
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
        life = timedelta(days=self.days if days is None else days)
        begin = _moment(now) - min(SKEW, abs(life) / 10)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROLE_TEXT[peer.role])]))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(_moment(now) + life)
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
        with locked(self._dir / "revoked.json"):
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
    authority: Authority, peer: PeerName, csr_pem: bytes, now: Micros, *, days: float | None = None
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
