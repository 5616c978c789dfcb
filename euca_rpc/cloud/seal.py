"""Secrets at rest: sealed with AES-256-GCM under a key that lies outside the database.

A sealed secret is nonce (12 bytes) + ciphertext and tag; the id of what it belongs to is authenticated with it, so that
a row cannot be given another row's secret.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from euca_rpc.errors import EucaError

_NONCE = 12


class Seal:
    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def load(cls, path: Path) -> Seal:
        return cls(path.read_bytes())

    @classmethod
    def create(cls, path: Path) -> Seal:
        key = AESGCM.generate_key(256)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key)
            out.flush()
            os.fsync(out.fileno())
        return cls(key)

    def close(self, secret: str, belongs_to: str) -> bytes:
        nonce = os.urandom(_NONCE)  # must never repeat: the operating system's, also under a seeded simulator
        return nonce + self._cipher.encrypt(nonce, secret.encode(), belongs_to.encode())

    def open(self, sealed: bytes, belongs_to: str) -> str:
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], belongs_to.encode()).decode()
        except InvalidTag:
            raise EucaError(
                "internal",
                "a stored secret cannot be opened: the database and its seal key do not belong together",
            ) from None
