"""Tickets: what one role states for another to show to a third, without either asking the first again.

    v1.<purpose, facts and end as canonical JSON, base64url>.<HMAC-SHA256 of all before, base64url>

The cloud controller gives a node a *fetch* ticket for one blob and that node's own certificate name, or a *store* ticket
for the one image that the node is to make; the image server gives whoever uploads a *receipt* of what it inspected, which
the cloud controller believes when the image is registered.  *upload* is for the one file that an administrator sends
through a page, which the cloud controller's process passes on; *forget* is for deleting a blob that no image names any
more.  The key is shared by the cloud controller and the image server and nobody else.  Whoever checks a ticket learns only what was signed: the
purpose is part of the signed bytes, so a ticket for one thing never serves for another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from typing import Final

from euca_rpc.clock import Micros, moment
from euca_rpc.errors import EucaError

FETCH: Final = "fetch"  # sha256, node ("role/zone/host" of its certificate)
RECEIPT: Final = (
    "receipt"  # sha256, bytes, virtual_bytes, format, kind, architecture; image_id if a node stored it
)
STORE: Final = "store"  # image_id, node, architecture, most_bytes
UPLOAD: Final = "upload"  # user, bytes, format, kind, architecture
FORGET: Final = "forget"  # sha256
PURPOSES: Final = (FETCH, RECEIPT, STORE, UPLOAD, FORGET)

LONGEST: Final = 4096  # far above any ticket; nothing longer is even hashed

Facts = dict[str, str | int]

_spell = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def issue(key: bytes, purpose: str, facts: Mapping[str, str | int], expires: Micros) -> str:
    if purpose not in PURPOSES:
        raise ValueError(f"no ticket has the purpose {purpose!r}")
    if len(key) < 16:
        raise ValueError("a ticket key has at least 16 bytes")
    body = _spell([purpose, dict(facts), expires]).encode()
    signed = "v1." + _encode(body)
    return f"{signed}.{_encode(_seal(key, signed))}"


def check(key: bytes, ticket: str, purpose: str, now: Micros) -> Facts:
    """The facts of a ticket that is ours, for this purpose and not over; otherwise EucaError("denied")."""
    if not ticket:
        raise _refused(purpose, "none was shown")
    if len(ticket) > LONGEST or not ticket.isascii():
        raise _refused(purpose, "what was shown is not a ticket")
    signed, _, seal = ticket.rpartition(".")
    # Compared as text: two spellings of one base64 tail would otherwise both pass.
    if not hmac.compare_digest(_encode(_seal(key, signed)), seal):
        raise _refused(purpose, "its seal is wrong: it was changed, or is another cloud's")
    try:
        issued_for, facts, expires = json.loads(base64.urlsafe_b64decode(signed.removeprefix("v1.") + "=="))
    except (ValueError, binascii.Error) as error:  # sealed by us, hence not ours to guess at
        raise _refused(purpose, "it cannot be read") from error
    if issued_for != purpose:
        raise _refused(purpose, f"it is one for {issued_for!r}")
    if now >= expires:
        raise _refused(purpose, f"it ended at {moment(expires)}")
    return {str(name): value for name, value in facts.items()}


def _seal(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, b"euca-ticket\0" + signed.encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _refused(purpose: str, why: str) -> EucaError:
    return EucaError(
        "denied",
        f"A ticket for {purpose!r} is needed here, and {why}. The cloud controller issues tickets; ask it again.",
        facts={"purpose": purpose},
    )
