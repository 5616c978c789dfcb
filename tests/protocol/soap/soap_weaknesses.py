"""Each rule of the verifier switched off, by patching; `test_soap_weaknesses` sees that some forgery notices.

Nothing in the product turns a rule off; these are the mistakes that others have made.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hmac
import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from euca_ec2 import envelope, replay, wssecurity
from euca_rpc.clock import HOUR


class Verifier:
    """The modules of the verifier as one: a name is patched wherever it was imported to."""

    modules = (wssecurity, envelope)

    def __getattr__(self, name):
        return next(getattr(it, name) for it in self.modules if hasattr(it, name))

    def __setattr__(self, name, value):
        for it in self.modules:
            if hasattr(it, name):
                setattr(it, name, value)

    def __delattr__(self, name):
        setattr(self, name, right[name])


w = Verifier()
WEAKNESSES = {}
right = {
    name: getattr(it, name) for it in w.modules for name in dir(it)
}  # as it is before anything is patched


def weakness(plant):
    WEAKNESSES[plant.__name__] = plant
    return plant


def patched(target, name, value):
    return lambda patch: patch.setattr(target, name, value)


# ---------------------------------------------------------------------------------------------------- one tree
def _parse(**settings):
    parser = etree.XMLParser(**{**w._PARSER, **settings})
    return lambda message: etree.fromstring(message, parser)


@weakness
def document_types_are_read(patch):
    patch.setattr(w, "parsed", _parse())


@weakness
def entities_are_resolved(patch):
    patch.setattr(w, "parsed", _parse(resolve_entities=True, load_dtd=True))


@weakness
def any_encoding_is_read(patch):
    def parsed(message):
        with contextlib.suppress(etree.XMLSyntaxError):
            return etree.fromstring(message)
        raise w.Refused("no XML")

    patch.setattr(w, "parsed", parsed)


@weakness
def comments_are_dropped(patch):
    patch.setitem(w._PARSER, "remove_comments", True)


@weakness
def instructions_are_dropped(patch):
    patch.setitem(w._PARSER, "remove_pis", True)


WEAKNESSES["no_limit_of_bytes"] = patched(w, "MOST_BYTES", 10**9)
WEAKNESSES["no_limit_of_tags"] = patched(w, "MOST_TAGS", 10**9)
WEAKNESSES["no_limit_of_attributes"] = patched(w, "MOST_ATTRIBUTES", 10**9)
WEAKNESSES["no_limit_of_namespaces"] = patched(w, "MOST_NAMESPACES", 10**9)
WEAKNESSES["no_limit_of_prefixes"] = patched(w, "MOST_PREFIXES", 10**9)
WEAKNESSES["no_limit_of_depth"] = patched(w, "_too_deep", lambda root: False)


@weakness
def comments_are_read_over(patch):
    def unique_ids(envelope):
        return {v: it for it in envelope.iter("*") for n, v in it.attrib.items() if n.lower().endswith("id")}

    patch.setattr(w, "unique_ids", unique_ids)


# --------------------------------------------------------------------------------------------------------- ids
def ids_kept(keep_first=False, only=None):
    def unique_ids(envelope):
        ids = {}
        for element in envelope.iter():
            if not isinstance(element.tag, str):
                raise w.Refused("a comment")
            for name, value in element.attrib.items():
                if name in only if only else name.rpartition("}")[2].lower() == "id":
                    ids.setdefault(value, element) if keep_first else ids.__setitem__(value, element)
        return ids

    return unique_ids


WEAKNESSES["the_first_of_two_ids_counts"] = patched(w, "unique_ids", ids_kept(keep_first=True))
WEAKNESSES["the_last_of_two_ids_counts"] = patched(w, "unique_ids", ids_kept())


@weakness
def only_wsu_ids_are_compared(patch):
    patch.setattr(w, "unique_ids", ids_kept(only=(w.WSU + "Id",)))


# ---------------------------------------------------------------------------------------------------- in its place
def _found(number, parent, tags, **_):
    found = []
    for tag in tags:
        same = [child for child in parent if child.tag == tag]
        if not same:
            raise w.Refused("a part is missing")
        found.append(same[number])
    return found


def lenient(number):
    """One of each is looked up, and whatever else there is, is not looked at."""
    return lambda parent, *tags, **how: _found(number, parent, tags) if tags else []


WEAKNESSES["the_first_of_each_part_is_taken"] = patched(w, "children", lenient(0))
WEAKNESSES["the_last_of_each_part_is_taken"] = patched(w, "children", lenient(-1))


@weakness
def parts_in_any_order(patch):
    patch.setattr(
        w, "children", lambda parent, *tags, any_order=True: right["children"](parent, *tags, any_order=True)
    )


@weakness
def text_between_parts(patch):
    patch.setattr(w, "blank", lambda texts: True)


@weakness
def the_first_operation_is_executed(patch):
    patch.setattr(w, "payload", lambda body: body[0] if len(body) else _refuse())


@weakness
def the_last_operation_is_executed(patch):
    patch.setattr(w, "payload", lambda body: body[-1] if len(body) else _refuse())


def _refuse(*_):
    raise w.Refused("planted")


@weakness
def texts_may_hold_elements(patch):
    patch.setattr(w, "text", lambda element: element.text or "")


# ------------------------------------------------------------------------------------------------------ whose key
def _caller(certificate_of, look_up=None):
    def proven_by(parts, ids, by_certificate):
        der = certificate_of(parts, ids)
        caller = (look_up or by_certificate)(der)
        if caller is None:
            _refuse()
        return der, caller

    return proven_by


def _der(parts, ids):
    return w._base64(w.text(parts.token))


@weakness
def any_kind_of_token(patch):
    def certificate(parts, ids):
        if w.resolved(parts.key_reference, ids) is not parts.token:
            _refuse()
        return _der(parts, ids)

    patch.setattr(w, "proven_by", _caller(certificate))


@weakness
def the_key_reference_is_not_followed(patch):
    def certificate(parts, ids):
        if parts.token.get("ValueType") != w.X509V3 or parts.token.get("EncodingType", w.BASE64) != w.BASE64:
            _refuse()
        return _der(parts, ids)

    patch.setattr(w, "proven_by", _caller(certificate))


@weakness
def the_user_is_looked_up_by_subject(patch):
    """Of the certificate: anybody can write one."""

    def plant(scene):
        known = {_subject(der): caller for der, caller in scene.certificates.items()}
        scene.endpoint.core = dataclasses.replace(
            scene.endpoint.core, credentials=_Lookup(lambda der: known.get(_subject(der)))
        )

    return plant


class _Lookup:
    def __init__(self, by_certificate):
        self.by_certificate = by_certificate


def _subject(der):
    with contextlib.suppress(ValueError):
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    return None


@weakness
def revoked_certificates_are_remembered(patch):
    def plant(scene):
        known = dict(scene.certificates)
        scene.endpoint.core = dataclasses.replace(scene.endpoint.core, credentials=_Lookup(known.get))

    return plant


@weakness
def what_follows_a_certificate_is_not_looked_at(patch):
    def plant(scene):
        known = dict(scene.certificates)
        look_up = lambda der: next((it for known_der, it in known.items() if der.startswith(known_der)), None)
        scene.endpoint.core = dataclasses.replace(scene.endpoint.core, credentials=_Lookup(look_up))
        key = right["_public_key"]
        patch.setattr(w, "_public_key", lambda der: key(next(it for it in known if der.startswith(it))))

    return plant


# -------------------------------------------------------------------------------------------------- what is signed
WEAKNESSES["what_is_signed_is_not_compared"] = patched(w, "covers", lambda parts, targets: None)


@weakness
def the_body_need_not_be_signed(patch):
    patch.setattr(w, "covers", lambda parts, them: None if w._among(parts.stamp, them) else _refuse())


@weakness
def the_stamp_need_not_be_signed(patch):
    patch.setattr(w, "covers", lambda parts, them: None if w._among(parts.body, them) else _refuse())


@weakness
def more_may_be_signed(patch):
    both = lambda parts, them: w._among(parts.body, them) and w._among(parts.stamp, them)
    patch.setattr(w, "covers", lambda parts, them: None if both(parts, them) else _refuse())


@weakness
def digests_are_not_compared(patch):
    def referenced(reference, ids):
        right["children"](reference, w.DS + "Transforms", w.DS + "DigestMethod", w.DS + "DigestValue")
        return w.resolved(reference, ids) if w.resolved(reference, ids) is not None else _refuse()

    patch.setattr(w, "referenced", referenced)


def _resolving(also):
    """``also(uri, envelope)``: what else a URI may mean."""

    def resolved(reference, ids):
        found = right["resolved"](reference, ids)
        return found if found is not None else also(reference.get("URI"), reference.getroottree().getroot())

    return patched(w, "resolved", resolved)


WEAKNESSES["an_empty_reference_is_the_body"] = _resolving(lambda uri, root: None if uri else root[-1])
WEAKNESSES["an_expression_is_the_body"] = _resolving(
    lambda uri, root: root[-1] if uri and "xpointer" in uri else None
)
WEAKNESSES["a_reference_needs_no_hash"] = _resolving(lambda uri, root: root[-1] if uri == "B-1" else None)
WEAKNESSES["addresses_are_fetched"] = _resolving(
    lambda uri, root: root[-1] if uri and uri.startswith(("http:", "file:", "cid:")) else None
)


# ------------------------------------------------------------------------------------------------------ algorithms
@weakness
def any_transform(patch):
    def canonical(element, method):
        return etree.tostring(element, method="c14n", exclusive=True)

    patch.setattr(w, "canonical", canonical)


@weakness
def several_transforms(patch):
    def children(parent, *tags, **how):
        if tags == (w.DS + "Transform",):
            return list(parent)[:1]
        return right["children"](parent, *tags, **how)

    patch.setattr(w, "children", children)


@weakness
def weak_digests(patch):
    import hashlib

    patch.setitem(w.DIGESTS, "http://www.w3.org/2001/04/xmldsig-more#md5", hashlib.md5)


@weakness
def weak_signatures(patch):
    from cryptography.hazmat.primitives.hashes import MD5

    patch.setitem(w.SIGNATURES, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5", MD5())


@weakness
def unknown_algorithms_fall_back_to_sha1(patch):
    patch.setattr(
        w, "allowed", lambda known, method: known.get(method.get("Algorithm"), next(iter(known.values())))
    )


def _hmac(secret):
    """The certificate's owner is whoever knows the certificate."""

    def signed_by(certificate, info, signature):
        if not info[1].get("Algorithm").endswith("hmac-sha1"):
            return right["signed_by"](certificate, info, signature)
        if hmac.digest(secret(certificate), w.canonical(info, info[0]), "sha1") != signature:
            _refuse()
        return None

    return patched(w, "signed_by", signed_by)


def _public(der):
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


WEAKNESSES["hmac_with_the_public_key_is_a_signature"] = _hmac(_public)
WEAKNESSES["hmac_with_the_certificate_is_a_signature"] = _hmac(lambda der: der)
WEAKNESSES["the_signature_is_not_verified"] = patched(w, "signed_by", lambda *_: None)


@weakness
def no_signature_is_no_failure(patch):
    """Every signature that is there is verified; the user is who the token says."""

    def verified(message, by_certificate, now):
        if b"SignatureValue" in message:
            return right["_verified"](message, by_certificate, now)
        root = w.parsed(message)
        token = root.find(f".//{w.WSSE}BinarySecurityToken")
        caller = by_certificate(w._base64(token.text)) if token is not None else None
        if caller is None:
            _refuse()
        return w.Signed(root[-1][0], caller, b"", message, now, now + HOUR)

    patch.setattr(w, "_verified", verified)


@weakness
def base64_is_read_leniently(patch):
    patch.setattr(w, "_base64", lambda value: base64.b64decode(value + "=="))


# ------------------------------------------------------------------------------------------------------------ time
def _time(check):
    """``check(begin, end, now)`` instead of the whole rule; moments are still read as they should be."""

    def in_time(created, expires, now):
        try:
            begin, end = w.moment_of(created), w.moment_of(expires)
        except Exception:
            raise w.Refused("a moment") from None
        return (begin, end) if check(begin, end, now) else _refuse()

    return patched(w, "in_time", in_time)


WEAKNESSES["expiry_is_not_looked_at"] = _time(lambda b, e, now: b <= now + w.SKEW and 0 < e - b <= w.LIFETIME)
WEAKNESSES["the_future_is_now"] = _time(lambda b, e, now: e > now and 0 < e - b <= w.LIFETIME)
WEAKNESSES["a_message_may_live_for_ever"] = _time(lambda b, e, now: b <= now + w.SKEW and now < e and b < e)
WEAKNESSES["expires_may_be_before_created"] = _time(
    lambda b, e, now: b <= now + w.SKEW and now < e <= b + w.LIFETIME
)
WEAKNESSES["a_skew_of_a_day"] = patched(w, "SKEW", 24 * HOUR)
WEAKNESSES["a_lifetime_of_a_day"] = patched(w, "LIFETIME", 24 * HOUR)


@weakness
def a_moment_that_cannot_be_read_is_now(patch):
    def in_time(created, expires, now):
        for text in (created, expires):
            try:
                if text is expires and w.moment_of(text) <= now:
                    _refuse()
            except Exception as error:
                if isinstance(error, w.Refused):
                    raise
        return now, now + HOUR

    patch.setattr(w, "in_time", in_time)


# ---------------------------------------------------------------------------------------------------------- replay
WEAKNESSES["signatures_are_not_remembered"] = patched(replay.Replays, "take", lambda *_: True)
WEAKNESSES["signatures_are_forgotten_at_a_restart"] = patched(replay.Replays, "_read", lambda self: None)


@weakness
def signatures_expire_at_once(patch):
    take = replay.Replays.take
    patch.setattr(
        replay.Replays,
        "take",
        lambda self, it, created, expires, now: take(self, it, created, expires // 1000, now),
    )


def _remembered(pattern):
    """Instead of the decoded signature, what of the message's text is remembered."""

    def verified(message, by_certificate, now):
        signed = right["_verified"](message, by_certificate, now)
        return dataclasses.replace(signed, signature=re.search(pattern, message, re.S)[1])

    return patched(w, "_verified", verified)


WEAKNESSES["the_signatures_text_is_remembered"] = _remembered(rb"SignatureValue[^>]*>(.*?)<")
WEAKNESSES["the_messages_text_is_remembered"] = _remembered(rb"(.*)")


# ------------------------------------------------------------------------------------------------------- the fault
@weakness
def the_fault_tells_why(patch):
    patch.setattr(w, "refusal", lambda why: w.EucaError("auth_failure", why))


@weakness
def an_expired_message_is_told_so(patch):
    def in_time(*given):
        try:
            return right["in_time"](*given)
        except w.Refused:
            raise w.EucaError("request_expired", "The message has expired.") from None

    patch.setattr(w, "in_time", in_time)
