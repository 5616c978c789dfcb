"""Who signed this SOAP message, and which element of it may be executed?

    bytes ─► one tree ─► ids ─► parts in their places ─► caller ─► signature ─► what is referenced ─► digests ─► time
                                                                                                         │
                                       Signed(the Body's child, caller, certificate, signature) ◄────────┘

The answer is the element itself, of the tree that was verified: nothing else of the message reaches the parser, so
there is no second reading that could differ.  Everything not expected is refused, and each function holds one rule;
those of shape are in `envelope`.  What an attacker could learn from the reason is kept from him: every refusal is the
same error, and the reason goes to the log.

The published attacks on this very interface (Somorovsky et al., "All Your Clouds Are Belong to Us", 2011) moved the
signed Body elsewhere, doubled it, or left the signature out; what stops them is that a reference must resolve to the
very element that is executed, and that there is only one place for each part.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from lxml import etree

from euca_rpc.clock import MINUTE, Micros
from euca_rpc.errors import EucaError
from euca_rpc.types import Caller

from .envelope import (
    DS,
    WSS,
    Element,
    Parts,
    Refused,
    apart,
    children,
    local,
    parsed,
    payload,
    placed,
    text,
    unique_ids,
)
from .signing import moment_of

NOT_VALIDATED = "The request could not be authenticated: check the certificate, the private key and the clock of the client."
SKEW: Micros = MINUTE  # by which a client's clock may be ahead
LIFETIME: Micros = 10 * MINUTE  # from Created to Expires; the tools say 5 minutes
MOST_PREFIXES = 32  # of one InclusiveNamespaces; each is looked up for each element

X509V3 = f"{WSS}x509-token-profile-1.0#X509v3"
BASE64 = f"{WSS}soap-message-security-1.0#Base64Binary"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"

# The only algorithms there are: no HMAC (a public key is no secret), nothing that selects or rewrites what is signed.
SIGNATURES: dict[str, HashAlgorithm] = {
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1": SHA1(),  # noqa: S303 -- all that the tools of 2008 can do
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": SHA256(),
}
DIGESTS: dict[str, Callable[[bytes], Any]] = {
    "http://www.w3.org/2000/09/xmldsig#sha1": hashlib.sha1,
    "http://www.w3.org/2001/04/xmlenc#sha256": hashlib.sha256,
}

ByCertificate = Callable[[bytes], Caller | None]


@dataclass(frozen=True, slots=True)
class Signed:
    """What the verifier saw; only this is executed."""

    element: Element
    caller: Caller
    certificate: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    created: Micros
    expires: Micros


def refusal(why: str) -> EucaError:
    """The one error of every message that is not authenticated."""
    return EucaError("auth_failure", NOT_VALIDATED, private=why)


def verify(message: bytes, by_certificate: ByCertificate, now: Micros) -> Signed:
    def work() -> Signed | str:
        try:
            return _verified(message, by_certificate, now)
        except Refused as error:
            return str(error)

    found = apart(work)
    if isinstance(found, str):
        raise refusal(found)
    return found


def _verified(message: bytes, by_certificate: ByCertificate, now: Micros) -> Signed:
    envelope = parsed(message)
    ids = unique_ids(envelope)
    parts = placed(envelope)
    element = payload(parts.body)
    certificate, caller = proven_by(parts, ids, by_certificate)
    signature = _base64(parts.value)
    signed_by(certificate, parts.info, signature)  # from here on, costs are the owner's own doing
    covers(parts, [referenced(reference, ids) for reference in parts.references])
    created, expires = in_time(parts.created, parts.expires, now)
    return Signed(element, caller, certificate, signature, created, expires)


# -------------------------------------------------------------------------------------------- whose message
def proven_by(parts: Parts, ids: dict[str, Element], by_certificate: ByCertificate) -> tuple[bytes, Caller]:
    """The certificate of the token that the signature names, and whose it is, by its exact bytes: who is named inside
    it says nothing, since anybody can write a certificate."""
    token, named = parts.token, parts.key_reference
    if token.get("ValueType") != X509V3 or token.get("EncodingType", BASE64) != BASE64:
        raise Refused("a token that is no X.509 certificate in base64")
    if named.get("ValueType", X509V3) != X509V3 or resolved(named, ids) is not token:
        raise Refused("the key is not the token's")
    certificate = _base64(text(token))
    caller = by_certificate(certificate)
    if caller is None:
        raise Refused(f"no enabled certificate {hashlib.sha256(certificate).hexdigest()[:16]}")
    return certificate, caller


def resolved(reference: Element, ids: dict[str, Element]) -> Element | None:
    """By ``#id`` only: an empty URI, an XPointer or an address names nothing."""
    uri = reference.get("URI", "")
    return ids.get(uri[1:]) if uri.startswith("#") else None


# ---------------------------------------------------------------------------------------------- what is signed
def covers(parts: Parts, targets: list[Element]) -> None:
    """The very Body that is executed and the very Timestamp that is read; the token may be signed as well."""
    if not (_among(parts.body, targets) and _among(parts.stamp, targets)):
        raise Refused("the Body or the Timestamp is not signed")
    if any(not _among(target, (parts.body, parts.stamp, parts.token)) for target in targets):
        raise Refused("something else is signed")
    if len({id(target) for target in targets}) != len(targets):
        raise Refused("something is referenced twice")


def referenced(reference: Element, ids: dict[str, Element]) -> Element:
    """The element that a Reference names, if its digest is right."""
    transforms, method, value = children(
        reference, DS + "Transforms", DS + "DigestMethod", DS + "DigestValue"
    )
    (transform,) = children(transforms, DS + "Transform")
    element = resolved(reference, ids)
    if element is None:
        raise Refused(f"a reference to {reference.get('URI', '')[:40]!r}")
    digest = allowed(DIGESTS, method)(canonical(element, transform)).digest()
    if digest != _base64(text(value)):
        raise Refused(f"{local(element)} is not what was signed")
    return element


def canonical(element: Element, method: Element) -> bytes:
    """By exclusive canonicalization without comments, the only transform there is."""
    if method.get("Algorithm") != EXCLUSIVE:
        raise Refused(f"the transform {method.get('Algorithm', '')[:80]!r}")
    prefixes: list[str] = []
    if len(method):
        (inclusive,) = children(method, f"{{{EXCLUSIVE}}}InclusiveNamespaces")
        children(inclusive)
        prefixes = inclusive.get("PrefixList", "").split()
        if len(prefixes) > MOST_PREFIXES:
            raise Refused("too many prefixes")
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=prefixes or None,
        )
    except etree.C14NError:  # namespaces that are relative addresses have no canonical form
        raise Refused(f"no canonical form of {local(element)}") from None


def allowed(algorithms: dict[str, Any], method: Element) -> Any:
    name = method.get("Algorithm", "")
    if name not in algorithms or len(method):
        raise Refused(f"the algorithm {name[:80]!r}")
    return algorithms[name]


def signed_by(certificate: bytes, info: Element, signature: bytes) -> None:
    algorithm = allowed(SIGNATURES, info[1])
    try:
        _public_key(certificate).verify(signature, canonical(info, info[0]), PKCS1v15(), algorithm)
    except InvalidSignature:
        raise Refused("a wrong signature") from None


@lru_cache(maxsize=1024)
def _public_key(certificate: bytes) -> RSAPublicKey:
    """Of a certificate that is known already: strangers' are not even parsed."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Refused("a certificate that cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise Refused("a key that is not RSA")
    return key


# ------------------------------------------------------------------------------------------------------ time
def in_time(created: str, expires: str, now: Micros) -> tuple[Micros, Micros]:
    """From when to when the message is good, if it is good now."""
    try:
        begin, end = moment_of(created), moment_of(expires)
    except EucaError:
        raise Refused("a moment that cannot be read") from None
    if begin > now + SKEW:
        raise Refused(f"created at {created}, which is still to come")
    if end <= now:
        raise Refused(f"expired at {expires}")
    if not 0 < end - begin <= LIFETIME:
        raise Refused(f"a lifetime from {created} to {expires}")
    return begin, end


# ------------------------------------------------------------------------------------------------------ texts
def _base64(value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("something is not base64") from None


def _among(element: Element, others: Iterable[Element]) -> bool:
    """The same object, not one that looks alike."""
    return any(element is other for other in others)
