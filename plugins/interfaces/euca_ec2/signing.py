"""Who sent this request?  Signature versions 4, 2 and, if the site insists, 1.

Pure functions over a `Request`, a look-up of credentials and the time.  `verify` answers with what it saw: the caller
and the parameters, and only those are executed.  Rules that hold for every version:

* an unknown key, a disabled key and a wrong signature are told apart in the log only; the same work is done for each;
* whether the request is too old is said only to somebody whose signature is right;
* a moment that cannot be read is a refusal, never "now".

Version 1 has no separators between names and values, so that somebody who saw one request can make another that
means something else: off unless the settings say otherwise, logged each time, and looked at once more in `sigv1`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from euca_rpc.clock import MINUTE, SECOND, Micros, iso
from euca_rpc.errors import EucaError
from euca_rpc.frozen import quick
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller

from .request import Request, parameters
from .sigv4 import signed_v4, signing_key

SKEW: Micros = 15 * MINUTE
NOT_VALIDATED = (
    "The access credentials of this request could not be validated: check the access key and the secret key."
)
_DIGESTS = {"HmacSHA256": "sha256", "HmacSHA1": "sha1"}  # of version 2
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|\+00:00)")
_NOBODY = "no such key: this secret only makes an unknown key cost as much as a known one"

Lookup = Callable[[str], Credential | None]


@quick
@dataclass(frozen=True, slots=True)
class Verified:
    """What the verifier saw; only this is executed."""

    caller: Caller
    access_key: str
    parameters: dict[str, str] = field(repr=False)
    signature: bytes = field(repr=False)
    scheme: str = "4"


def verify(request: Request, lookup: Lookup, now: Micros, *, allow_v1: bool = False) -> Verified:
    given = parameters(request)
    authorization = request.header("authorization")
    if authorization is not None and authorization.startswith("AWS4-"):
        if "Signature" in given or "X-Amz-Signature" in given:
            raise EucaError(
                "parameter_conflict", "The request is signed twice: in a header and in a parameter."
            )
        return _verify_v4(request, given, lookup, now)
    if "X-Amz-Signature" in given:
        return _verify_v4(request, given, lookup, now)
    version = given.get("SignatureVersion")
    if "Signature" not in given or "AWSAccessKeyId" not in given:
        raise _unvalidated("the request carries no signature")
    if version == "2":
        return _verify_v2(request, given, lookup, now)
    if version == "1" and allow_v1:
        return _verify_v1(given, lookup, now)
    raise _unvalidated(f"signature version {version!r} is not accepted here")


def _unvalidated(why: str) -> EucaError:
    return EucaError("auth_failure", NOT_VALIDATED, private=why)


def _verify_v4(request: Request, given: dict[str, str], lookup: Lookup, now: Micros) -> Verified:
    try:
        signed = signed_v4(request, given)
    except ValueError as error:
        raise _unvalidated(str(error)) from None
    credential = lookup(signed.access_key)
    key = signing_key(credential.secret if credential else _NOBODY, signed.scope)
    right = hmac.compare_digest(hmac.digest(key, signed.string_to_sign, "sha256"), signed.signature)
    credential = _proven(credential, right, signed.access_key)
    _in_time(signed.at - SKEW, signed.at + (signed.lifetime or SKEW), now)
    return Verified(credential.caller, signed.access_key, signed.parameters, signed.signature, "4")


def _verify_v2(request: Request, given: dict[str, str], lookup: Lookup, now: Micros) -> Verified:
    method = given.get("SignatureMethod", "")
    digest = _DIGESTS.get(method)
    if digest is None:
        raise _unvalidated(f"signature method {method[:40]!r}")
    signature, access_key = _signature(given), given["AWSAccessKeyId"]
    earliest, latest = _period(given)
    host = request.header("host")
    if not host or "," in host:
        raise _unvalidated("no single Host header")
    names = sorted((name for name in given if name != "Signature"), key=str.encode)
    query = "&".join(f"{_encoded(name)}={_encoded(given[name])}" for name in names)
    credential = lookup(access_key)
    secret = (credential.secret if credential else _NOBODY).encode()
    right = False
    for spelt_host, path in _spellings(host, request.path):
        text = f"{request.method}\n{spelt_host}\n{path}\n{query}".encode()
        right |= hmac.compare_digest(hmac.digest(secret, text, digest), signature)
    credential = _proven(credential, right, access_key)
    _in_time(earliest, latest, now)
    return Verified(credential.caller, access_key, _without(given, _V2), signature, "2")


def _verify_v1(given: dict[str, str], lookup: Lookup, now: Micros) -> Verified:
    signature, access_key = _signature(given), given["AWSAccessKeyId"]
    earliest, latest = _period(given)
    names = sorted((name for name in given if name != "Signature"), key=str.lower)
    text = "".join(name + given[name] for name in names).encode()
    credential = lookup(access_key)
    secret = (credential.secret if credential else _NOBODY).encode()
    right = hmac.compare_digest(hmac.digest(secret, text, "sha1"), signature)
    credential = _proven(credential, right, access_key)
    _in_time(earliest, latest, now)
    return Verified(credential.caller, access_key, _without(given, _V2), signature, "1")


_V2 = frozenset(
    {"AWSAccessKeyId", "Signature", "SignatureVersion", "SignatureMethod", "Timestamp", "Expires"}
)


def _without(given: dict[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def _proven(credential: Credential | None, right: bool, access_key: str) -> Credential:
    if credential is None:
        raise _unvalidated(f"no enabled access key {access_key[:40]!r}")
    if not right:
        raise _unvalidated(f"wrong signature for access key {access_key!r}")
    return credential


def _in_time(earliest: Micros, latest: Micros, now: Micros) -> None:
    if not earliest <= now <= latest:
        raise EucaError(
            "request_expired",
            f"The request was signed for {iso(earliest)} to {iso(latest)}; it is {iso(now)} here. Set the client's clock.",
        )


def _signature(given: dict[str, str]) -> bytes:
    try:
        # Some clients sent '+' bare, which a form turns into a blank.
        return base64.b64decode(given["Signature"].replace(" ", "+"), validate=True)
    except (binascii.Error, ValueError):
        raise _unvalidated("the signature is not base64") from None


def _period(given: dict[str, str]) -> tuple[Micros, Micros]:
    """From when to when the request is good, by its Timestamp or its Expires."""
    stamp, expires = given.get("Timestamp"), given.get("Expires")
    if (stamp is None) == (expires is None):
        raise _unvalidated("exactly one of Timestamp and Expires is needed")
    if stamp is not None:
        at = moment_of(stamp)
        return at - SKEW, at + SKEW
    return 0, moment_of(expires or "")


def moment_of(text: str) -> Micros:
    found = _STAMP.fullmatch(text)
    if found is None:
        raise _unvalidated("a timestamp that cannot be read")
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND
    except ValueError:
        raise _unvalidated("a timestamp that does not exist") from None


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _spellings(host: str, path: str) -> Iterator[tuple[str, str]]:
    """How clients spell what they signed: boto2 and typica leave the port out, fog and Amazon's tools treat the
    trailing slash each in their own way."""
    host = host.lower()
    bare = re.sub(r":\d+$", "", host)
    for spelt_host in dict.fromkeys((host, bare)):
        for spelt_path in dict.fromkeys((path, path.rstrip("/") or "/", path.rstrip("/") + "/")):
            yield spelt_host, spelt_path
