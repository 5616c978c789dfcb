"""What a mailed link carries: a random token of which only the hash is kept, for one purpose and one user, good until a
moment, used up by the change that it allows and by nothing else.

The token begins with the user's id, so that looking it up takes no search; what counts is the rest, 192 bits.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Change, Put, Remove
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.types import Link

ACTIVATE, RECOVER = "activate", "recover"
_SECRET = 192  # bits


def secret(ids: Ids, bits: int = _SECRET) -> str:
    """Fit for a URL or a cookie."""
    return urlsafe_b64encode(ids.bits(bits).to_bytes(bits // 8, "big")).decode().rstrip("=")


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def make(ids: Ids, purpose: str, user_id: str, expires_at: Micros) -> tuple[str, Change]:
    """The token, and the row that takes the place of any before it."""
    token = f"{user_id.removeprefix('u-')}.{secret(ids)}"
    return token, Put(Link(f"{purpose}/{user_id}", digest(token), expires_at))


def find(view: View, purpose: str, token: str, wall: Micros) -> Link | None:
    row = view.links.get(f"{purpose}/u-{token.partition('.')[0]}")
    if row is None or row.expires_at <= wall or not hmac.compare_digest(row.token_hash, digest(token)):
        return None
    return row


def user_of(row: Link) -> str:
    return row.id.partition("/")[2]


def drop(view: View, user_id: str, *purposes: str) -> tuple[Change, ...]:
    rows = (view.links.get(f"{purpose}/{user_id}") for purpose in purposes or (ACTIVATE, RECOVER))
    return tuple(Remove(row) for row in rows if row is not None)


def invalid() -> EucaError:
    return EucaError("link_invalid", "the link is unknown, was used or has expired: ask for another one")
