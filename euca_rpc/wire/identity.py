"""A daemon's certificate and key: a directory with `ca.pem`, `cert.pem`, `key.pem`.

The key is made here and never travels.  A renewal puts a new key beside the old one as `key.new.pem`; `install` writes
the certificate first and moves the key after it, and `load` completes the move if a crash came between the two.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from euca_rpc.clock import Micros, moment
from euca_rpc.errors import EucaError
from euca_rpc.wire.files import write_atomically
from euca_rpc.wire.names import ROLE_TEXT, Peer, PeerName, read_certificate


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
            load_key(directory / "key.pem")
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
    def life(self) -> Micros:
        return self.own.expires_at - self.own.begins_at

    @property
    def ca_pem(self) -> bytes:
        return (self.directory / "ca.pem").read_bytes()

    def due_for_renewal(self, now: Micros) -> bool:
        """From two thirds of its life on: a month to notice that renewals fail."""
        return now >= self.own.begins_at + self.life * 2 // 3

    def check_not_expired(self, now: Micros) -> None:
        if now >= self.expires_at:
            raise EucaError(
                "role_refused",
                f"our own certificate as {self.peer.text} in {self.directory} expired at"
                f" {moment(self.expires_at)}: no peer accepts it. Where the authority is, `euca init` makes another;"
                " a node enrols again with what `euca node token` prints, a cluster controller with `euca zone_token`",
            )

    @staticmethod
    def make_key_and_csr(directory: Path, peer: PeerName | None) -> bytes:
        """A new key, here and for its owner only, and the request for its certificate."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        write_atomically(directory / "key.new.pem", key_pem(key), mode=0o600)
        common = ROLE_TEXT[peer.role] if peer else "to be named by the cloud"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def install(cls, directory: Path, cert_pem: bytes, ca_pem: bytes) -> Identity:
        try:
            certificate = x509.load_pem_x509_certificate(cert_pem)
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
        except (ValueError, TypeError, InvalidSignature):
            raise EucaError(
                "role_refused",
                f"what came for {directory} is no certificate of this cloud's authority: kept the old",
            ) from None
        if not any(_matches(directory / name, certificate) for name in ("key.new.pem", "key.pem")):
            raise EucaError("parameter_invalid", f"the certificate is for none of the keys in {directory}")
        write_atomically(directory / "ca.pem", ca_pem)
        write_atomically(directory / "cert.pem", cert_pem)
        return cls.load(directory)


def _matches(path: Path, certificate: x509.Certificate) -> bool:
    return path.exists() and load_key(path).public_key() == certificate.public_key()


def _complete_install(directory: Path) -> None:
    certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    if _matches(directory / "key.new.pem", certificate):
        os.replace(directory / "key.new.pem", directory / "key.pem")


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic curve key")
    return key
