"""Key pairs.  The private half is made here, shown once, and kept nowhere."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import deque
from collections.abc import Callable, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from euca_rpc.carrier import Carrier
from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Insert, Outcome, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, resource_id
from euca_rpc.types import Caller, KeyPair

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_NAME = re.compile(r"[ -~]{1,255}")
_POOL = 4  # RSA keys made ahead: 34 ms each, p99 150
_MATERIAL_LIMIT = 16 * 1024


class KeyPool:
    """RSA keys made before they are asked for, on the carrier's time."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._ready: deque[rsa.RSAPrivateKey] = deque()

    def take(self) -> rsa.RSAPrivateKey:
        try:
            key = self._ready.popleft()
        except IndexError:
            key = _rsa()
        self.fill()
        return key

    def fill(self) -> None:
        for _ in range(_POOL - len(self._ready)):
            self._carrier.run("rsa-pool", self._make, lambda answer: None)

    def _make(self) -> None:
        if len(self._ready) < _POOL:
            self._ready.append(_rsa())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Keys:
    def __init__(self, journal: Journal, ids: Ids, pool: KeyPool) -> None:
        self._journal, self._ids, self._pool = journal, ids, pool

    def create(self, caller: Caller, name: str, key_type: str = "rsa") -> tuple[KeyPair, str]:
        _check_name(name)
        if key_type not in ("rsa", "ed25519"):
            raise EucaError("parameter_invalid", f"the key type {key_type!r}: choose rsa or ed25519")
        if f"{caller.account_id}/{name}" in self._journal.view.key_names:
            raise _duplicate(name)
        private: PrivateKey = self._pool.take() if key_type == "rsa" else ed25519.Ed25519PrivateKey.generate()
        pair = self._journal.do(
            _insert(caller, self._ids, name, openssh(private, name), fingerprint(private), key_type)
        )
        return pair, private_pem(private)

    def import_(self, caller: Caller, name: str, material: bytes) -> KeyPair:
        _check_name(name)
        public = parse_public(material)
        line = f"{_line(public)} {name}"
        kind = "rsa" if isinstance(public, rsa.RSAPublicKey) else "ed25519"
        pair: KeyPair = self._journal.do(
            _insert(caller, self._ids, name, line, imported_fingerprint(public), kind)
        )
        return pair

    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[KeyPair]:
        view = self._journal.view
        if not names:
            return sorted(
                (k for k in view.keys.values() if k.account_id == caller.account_id), key=lambda k: k.name
            )
        found = []
        for name in dict.fromkeys(names):
            key_id = view.key_names.get(f"{caller.account_id}/{name}")
            if key_id is None:
                raise EucaError("key_not_found", f"the key pair {name!r} does not exist")
            found.append(view.keys[key_id])
        return found

    def delete(self, caller: Caller, name: str) -> bool:
        def verb(view: View, now: Micros) -> Outcome:
            key_id = view.key_names.get(f"{caller.account_id}/{name}")
            if key_id is None:
                return Outcome(result=False)
            return Outcome(
                (Remove(view.keys[key_id]),),
                (event("key.deleted", key_id, now, caller, facts={"name": name}),),
                True,
            )

        return bool(self._journal.do(verb))


def _insert(
    caller: Caller, ids: Ids, name: str, public: str, print_: str, kind: str
) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        if f"{caller.account_id}/{name}" in view.key_names:
            raise _duplicate(name)
        pair = KeyPair(
            resource_id(ids, "key-"), caller.account_id, caller.user_id, name, public, print_, kind, now
        )
        return Outcome(
            (Insert(pair),), (event("key.created", pair.id, now, caller, facts={"name": name}),), pair
        )

    return verb


def _duplicate(name: str) -> EucaError:
    return EucaError(
        "key_duplicate", f"the key pair {name!r} already exists: choose another name or delete it first"
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise EucaError(
            "parameter_invalid", f"the key name {name[:80]!r}: give 1 to 255 printable ASCII characters"
        )


# ------------------------------------------------------------------------------------------------------ formats
def private_pem(key: PrivateKey) -> str:
    """RSA as the tools expect it ("BEGIN RSA PRIVATE KEY"), ED25519 as OpenSSH writes it."""
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.OpenSSH
    )
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _line(public: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def openssh(key: PrivateKey, name: str) -> str:
    return f"{_line(key.public_key())} {name}"


def _colons(digest: bytes) -> str:
    return ":".join(f"{b:02x}" for b in digest)


def fingerprint(key: PrivateKey) -> str:
    """Of a pair made here: RSA: SHA-1 of the private key's PKCS#8 DER; ED25519: as OpenSSH prints it, without the
    "SHA256:" (source: the EC2 user guide, "Verify the fingerprint of your key pair")."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return imported_fingerprint(key.public_key())
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _colons(hashlib.sha1(der, usedforsecurity=False).digest())


def imported_fingerprint(public: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    """RSA: MD5 of the DER SubjectPublicKeyInfo; ED25519: base64 SHA-256 of the wire form."""
    if isinstance(public, ed25519.Ed25519PublicKey):
        wire = base64.b64decode(_line(public).split()[1])
        return base64.b64encode(hashlib.sha256(wire).digest()).decode()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _colons(hashlib.md5(der, usedforsecurity=False).digest())


def parse_public(material: bytes) -> rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    """An OpenSSH line, RFC 4716, PEM or DER; RSA of 1024 to 16384 bits or ED25519."""
    refusal = EucaError(
        "key_format",
        "the public key is not understood: give an OpenSSH line (ssh-rsa … or ssh-ed25519 …), RFC 4716, PEM or DER",
    )
    if not material or len(material) > _MATERIAL_LIMIT:
        raise refusal
    try:
        text = material.strip()
        if text.startswith(b"---- BEGIN SSH2 PUBLIC KEY"):
            body = b"".join(
                line for line in text.splitlines() if b":" not in line and not line.startswith(b"----")
            )
            kind = base64.b64decode(body, validate=True)[4:15].split(b"\0")[0]
            text = (b"ssh-rsa " if kind.startswith(b"ssh-rsa") else b"ssh-ed25519 ") + body
        if text.startswith((b"ssh-", b"ecdsa-")):
            found: object = serialization.load_ssh_public_key(text)
        elif text.startswith(b"-----BEGIN"):
            found = serialization.load_pem_public_key(text)
        else:
            found = serialization.load_der_public_key(material)
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise refusal from None
    if isinstance(found, ed25519.Ed25519PublicKey):
        return found
    if isinstance(found, rsa.RSAPublicKey) and 1024 <= found.key_size <= 16384:
        return found
    raise refusal
