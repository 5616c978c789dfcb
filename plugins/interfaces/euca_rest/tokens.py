"""Short-lived bearer tokens, and the tokens of pages: signed with a key that this process made and keeps nowhere.

A bearer token says which access key it was given for and until when.  It is worth what that access key is worth at the
moment of each request: a disabled or revoked one is refused at once, and a restart ends all tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.nouns import Credential, Credentials
from euca_rpc.types import Caller

_MAC = 32


class Signer:
    """Text that nobody else can have made; ``purpose`` keeps one kind from being used as another."""

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = hmac.digest(key, purpose.encode(), "sha256")

    def __repr__(self) -> str:
        return "Signer()"

    def sign(self, value: Sequence[Any]) -> str:
        text = json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, "sha256") + text).decode().rstrip("=")

    def open(self, token: str) -> list[Any] | None:
        """None for whatever was not signed here."""
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        mac, text = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, hmac.digest(self._key, text, "sha256")):
            return None
        found: list[Any] = json.loads(text)
        return found


class Bearers:
    def __init__(
        self, key: bytes, credentials: Credentials, wall: Callable[[], Micros], seconds: int
    ) -> None:
        self._signer = Signer(key, "bearer")
        self._nobody = hmac.digest(key, b"nobody", "sha256").hex()
        self._credentials, self._wall, self._life = credentials, wall, seconds * SECOND

    def issue(self, access_key_id: str, secret: str) -> tuple[str, Micros, Caller]:
        """The token, its end, and whose it is.  Unknown, revoked and wrong are refused alike, after the same comparison."""
        found = self._credentials.by_access_key(access_key_id)
        right = _same(secret, found.secret if found else self._nobody)
        if found is None or not right:
            raise EucaError(
                "auth_failure",
                "This access key and secret are not those of a user who may sign in; ask for new ones in the portal.",
            )
        until = self._wall() + self._life
        return self._signer.sign([access_key_id, _mark(found), until]), until, found.caller

    def caller(self, authorization: str | None) -> tuple[Caller, str]:
        """Whom the header proves, and by which access key."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise EucaError(
                "auth_failure",
                "Send a token as 'Authorization: Bearer …'; POST /v1/tokens gives one for an access key.",
            )
        opened = self._signer.open(token.strip())
        if opened is None:
            raise EucaError(
                "auth_failure",
                "The bearer token is not one of this endpoint's; get a new one from POST /v1/tokens.",
            )
        access_key_id, mark, until = opened
        if self._wall() >= until:
            raise EucaError(
                "request_expired", "The bearer token has expired; get a new one from POST /v1/tokens."
            )
        found = self._credentials.by_access_key(access_key_id)
        if found is None or not hmac.compare_digest(mark, _mark(found)):
            raise EucaError("auth_failure", "The access key of this bearer token was disabled or revoked.")
        return found.caller, access_key_id


def _same(one: str, other: str) -> bool:
    """In a time that tells neither content nor length."""
    return hmac.compare_digest(hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest())


def _mark(credential: Credential) -> str:
    """Changes when the secret does, and says nothing about it to who does not have it."""
    return hashlib.sha256(b"euca-rest" + credential.secret.encode()).hexdigest()[:16]
