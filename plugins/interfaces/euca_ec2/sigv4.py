"""Signature version 4: what a request claims to have signed, from its Authorization header or its presigned query.

Region and service are taken from the credential scope and never compared: clients send `eucalyptus/ec2`, `0/127`,
`undefined-8773` and worse, and they are signed anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from euca_rpc.clock import SECOND, Micros
from euca_rpc.frozen import quick

from .request import Request, decoded

ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST = 7 * 24 * 3600  # seconds; what a presigned request may ask for at most
_AUTHORIZATION = re.compile(
    ALGORITHM
    + r" +Credential=([^\s,]{1,300}), *SignedHeaders=([a-z0-9;_-]{1,1000}), *Signature=([0-9a-f]{64})"
)
_PRESIGNED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
_BLANKS = re.compile(" +")
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")


@quick
@dataclass(frozen=True, slots=True)
class Scope:
    date: str
    region: str
    service: str


@quick
@dataclass(frozen=True, slots=True)
class SignedV4:
    access_key: str
    scope: Scope
    at: Micros
    lifetime: Micros | None  # of a presigned request
    string_to_sign: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    parameters: dict[str, str] = field(repr=False)


def signed_v4(request: Request, given: dict[str, str]) -> SignedV4:
    """Raises ValueError, whose text goes to the log, for what is not a version 4 signature."""
    presigned = "X-Amz-Signature" in given
    if presigned:
        missing = [name for name in _PRESIGNED if name not in given]
        if missing or given["X-Amz-Algorithm"] != ALGORITHM:
            raise ValueError(f"presigned, without {missing or ALGORITHM}")
        credential, listed, signature = (
            given["X-Amz-Credential"],
            given["X-Amz-SignedHeaders"],
            given["X-Amz-Signature"],
        )
        if not re.fullmatch(r"[0-9a-f]{64}", signature) or not re.fullmatch(
            r"[1-9]\d{0,5}", given["X-Amz-Expires"]
        ):
            raise ValueError("X-Amz-Signature or X-Amz-Expires is malformed")
        if int(given["X-Amz-Expires"]) > LONGEST:
            raise ValueError("X-Amz-Expires is longer than a week")
        stamp, lifetime = given["X-Amz-Date"], int(given["X-Amz-Expires"]) * SECOND
        executed = {name: value for name, value in given.items() if name not in _PRESIGNED}
    else:
        found = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
        if found is None:
            raise ValueError("the Authorization header is malformed")
        credential, listed, signature = found.groups()
        stamp, lifetime = request.header("x-amz-date") or "", None
        executed = given
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise ValueError("the credential scope is malformed")
    scope = Scope(parts[1], parts[2], parts[3])
    at = _moment(stamp)
    if not stamp.startswith(scope.date) or len(scope.date) != 8:
        raise ValueError("the credential scope is of another day than the request")
    canonical = _canonical_request(request, listed, presigned)
    string_to_sign = "\n".join(
        (
            ALGORITHM,
            stamp,
            f"{scope.date}/{scope.region}/{scope.service}/aws4_request",
            hashlib.sha256(canonical).hexdigest(),
        )
    )
    return SignedV4(
        parts[0], scope, at, lifetime, string_to_sign.encode(), bytes.fromhex(signature), executed
    )


@lru_cache(maxsize=64)  # the requests of one second
def _moment(stamp: str) -> Micros:
    found = _BASIC.fullmatch(stamp)
    if found is None:
        raise ValueError("X-Amz-Date is missing or malformed")
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND


def _canonical_request(request: Request, listed: str, presigned: bool) -> bytes:
    names = listed.split(";")
    if "host" not in names or names != sorted(set(names)):
        raise ValueError("SignedHeaders is not sorted, or host is not in it")
    lines = []
    for name in names:
        values = [value for key, value in request.headers if key == name]
        if not values:
            raise ValueError(f"the signed header {name!r} is not there")
        lines.append(f"{name}:{','.join(_BLANKS.sub(' ', value.strip(' ')) for value in values)}\n")
    query = ""
    if request.query:
        pairs = [(quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in decoded(request.query)]
        query = "&".join(f"{n}={v}" for n, v in sorted(pairs) if not (presigned and n == "X-Amz-Signature"))
    return "\n".join(
        (
            request.method,
            request.path,
            query,
            "".join(lines),
            listed,
            hashlib.sha256(request.body).hexdigest(),
        )
    ).encode()


def signing_key(secret: str, scope: Scope) -> bytes:
    """The key of one day.  Remembered by the secret's digest, so that no secret stays in memory for it."""
    digest = hashlib.sha256(secret.encode()).digest()
    found = _keys.get((digest, scope))
    return found if found is not None else _derive(secret, digest, scope)


_keys: dict[tuple[bytes, Scope], bytes] = {}
_MOST_KEYS = 4096


def _derive(secret: str, digest: bytes, scope: Scope) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    if len(_keys) >= _MOST_KEYS:  # anybody can name regions at will: start over rather than grow
        _keys.clear()
    _keys[digest, scope] = key
    return key
