"""Refusals as problem documents (RFC 9457).

`type` carries the core's symbol, which programs switch on; `detail` is the sentence for people; `facts` are the numbers
behind it.  The kind of a symbol decides the status; where HTTP has a word of its own (405, 413 …) a `Refused` says it.
"""

from __future__ import annotations

from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import status_of

MEDIA_TYPE = "application/problem+json"
URN = "urn:euca:problem:"
TITLES = {
    "bad_request": "The request is not right",
    "unauthenticated": "The caller is not proved",
    "denied": "The caller may not do this",
    "limit": "A limit of the account or user is reached",
    "not_found": "There is no such thing",
    "conflict": "The state of the thing does not allow it",
    "capacity": "There is no room now",
    "throttled": "Too many requests at a time",
    "internal": "An internal error",
    "unavailable": "A part of the cloud does not answer now",
}


def document(error: EucaError, request_id: str) -> dict[str, Any]:
    internal = error.symbol == "internal"  # shows nothing of its inside
    return {
        "type": URN + error.symbol,
        "title": TITLES.get(error.kind, error.kind),
        "status": status_of(error),
        "detail": "An internal error occurred; the cloud's log tells it under this instance."
        if internal
        else error.sentence,
        "instance": f"urn:uuid:{request_id}",
        "facts": {} if internal else error.facts,
    }
