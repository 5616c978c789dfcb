"""The table of forgeries.

Each is made from a genuine message by somebody who has seen it (and has, at most, a key of his own); those marked
`crafted` are signed with the owner's key, because they stand for what a careless client might sign and somebody then
change.  What comes back is the message to send; it must be refused like every other, and make no key pair.
"""

from __future__ import annotations

import base64
import re
from copy import deepcopy

from soap_letters import (
    DS,
    EXC,
    MORE,
    NS,
    WSS,
    WSU,
    Letter,
    compose,
    create_key,
    element,
    identity,
    stamp,
)  # fmt: skip

FORGERIES = {}  # name → (function, needs the owner's key)
ID = f"{{{WSU}}}Id"
SKEW, LIFETIME = 60, 600  # what the verifier allows


def forgery(make):
    FORGERIES[make.__name__] = (make, False)
    return make


def crafted(make):
    FORGERIES[make.__name__] = (make, True)
    return make


def fresh_stamp(scene, id: str | None = "fresh"):
    attribute = f' wsu:Id="{id}"' if id else ""
    begin, end = stamp(scene.now), stamp(scene.now + 300)
    return element(
        f"<wsu:Timestamp{attribute}><wsu:Created>{begin}</wsu:Created><wsu:Expires>{end}</wsu:Expires></wsu:Timestamp>"
    )


def put_before(place, new):
    place.addprevious(new)
    return new


def replace(old, new):
    put_before(old, new)
    old.getparent().remove(old)


def wrapped(*inside, tag="Wrapper"):
    wrapper = element(f'<w:{tag} xmlns:w="http://example.com/w"/>')
    wrapper.extend(inside)
    return wrapper


# ================================================================= the signed Body elsewhere, another one executed
def body_moved_to(scene, place, id="evil"):
    """The classic: ``place(letter)`` is where the signed Body goes, an evil one takes its place."""
    it = scene.letter()
    signed = it.body
    replace(signed, scene.evil_body(id))
    place(it, signed)
    return it.bytes()


@forgery
def body_wrapped_in_header(scene):
    return body_moved_to(scene, lambda it, signed: it.header.append(wrapped(signed)))


@forgery
def body_wrapped_in_header_other_without_id(scene):
    return body_moved_to(scene, lambda it, signed: it.header.append(wrapped(signed)), id=None)


@forgery
def body_wrapped_before_security(scene):
    return body_moved_to(scene, lambda it, signed: it.header.insert(0, wrapped(signed)))


@forgery
def body_wrapped_in_security(scene):
    return body_moved_to(scene, lambda it, signed: it.security.append(wrapped(signed)))


@forgery
def body_bare_in_security(scene):
    return body_moved_to(scene, lambda it, signed: it.security.append(signed))


@forgery
def body_in_a_signature_object(scene):
    def place(it, signed):
        holder = element("<ds:Object/>")
        holder.append(signed)
        it.signature.append(holder)

    return body_moved_to(scene, place)


@forgery
def body_in_key_info(scene):
    return body_moved_to(scene, lambda it, signed: it.find(".//ds:KeyInfo").append(signed))


@forgery
def body_in_the_token_reference(scene):
    return body_moved_to(
        scene, lambda it, signed: it.find(".//wsse:SecurityTokenReference").append(wrapped(signed))
    )


@forgery
def body_in_the_reference_of_the_token(scene):
    return body_moved_to(
        scene, lambda it, signed: it.find(".//wsse:SecurityTokenReference/wsse:Reference").append(signed)
    )


@crafted
def body_in_the_inclusive_namespaces(scene):
    """Of the Timestamp's reference, signed by a client that allows such things."""
    it = scene.letter()
    it.of(0, "Transform").append(
        element(f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="s"><x/></ec:InclusiveNamespaces>')
    )
    return it.resign(scene.genuine.owner).bytes()


@forgery
def body_in_the_token(scene):
    return body_moved_to(scene, lambda it, signed: it.token.append(signed))


@forgery
def body_in_the_evil_body(scene):
    return body_moved_to(scene, lambda it, signed: it.body.append(signed))


@forgery
def body_in_the_evil_operation(scene):
    return body_moved_to(scene, lambda it, signed: it.operation.append(signed))


@forgery
def body_in_a_trailer(scene):
    return body_moved_to(scene, lambda it, signed: it.root.append(wrapped(signed)))


@forgery
def body_in_a_second_header(scene):
    def place(it, signed):
        header = element("<s:Header/>")
        header.append(signed)
        put_before(it.body, header)

    return body_moved_to(scene, place)


@forgery
def two_bodies_with_one_id_evil_first(scene):
    it = scene.letter()
    put_before(it.body, scene.evil_body(it.body.get(ID)))
    return it.bytes()


@forgery
def two_bodies_with_one_id_evil_last(scene):
    it = scene.letter()
    it.root.append(scene.evil_body(it.body.get(ID)))
    return it.bytes()


@forgery
def two_bodies_with_two_ids_evil_first(scene):
    it = scene.letter()
    put_before(it.body, scene.evil_body())
    return it.bytes()


@forgery
def two_bodies_with_two_ids_evil_last(scene):
    it = scene.letter()
    it.root.append(scene.evil_body())
    return it.bytes()


@forgery
def two_operations_evil_first(scene):
    it = scene.letter()
    it.body.insert(0, scene.evil_operation())
    return it.bytes()


@forgery
def two_operations_evil_last(scene):
    it = scene.letter()
    it.body.append(scene.evil_operation())
    return it.bytes()


@forgery
def three_bodies(scene):
    """The attack on EC2 after a second Timestamp in the header was forbidden: the signed one is in another Body."""
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    carrier = element('<s:Body wsu:Id="carrier"/>')
    carrier.append(old)
    signed = it.body
    put_before(signed, scene.evil_body())
    put_before(signed, carrier)
    return it.bytes()


@forgery
def second_security_holds_what_was_signed(scene):
    """The attack on Eucalyptus: no id is given twice, and the executed Body and Timestamp have ids of their own."""
    it = scene.letter()
    scene.later(3600)
    body, old = it.body, it.stamp
    replace(body, scene.evil_body("B-wrapped"))
    replace(old, fresh_stamp(scene, "T-wrapped"))
    second = element("<wsse:Security/>")
    second.extend([old, body])
    it.header.append(second)
    return it.bytes()


@forgery
def first_security_holds_what_was_signed(scene):
    it = scene.letter()
    body, old = it.body, it.stamp
    replace(body, scene.evil_body("B-wrapped"))
    replace(old, fresh_stamp(scene, "T-wrapped"))
    second = element("<wsse:Security/>")
    second.extend([old, body])
    it.header.insert(0, second)
    return it.bytes()


@forgery
def envelope_in_the_body(scene):
    it = scene.letter()
    outer = element("<s:Envelope><s:Header/><s:Body/></s:Envelope>")
    outer[1].append(it.root)
    return in_bytes(outer)


@forgery
def envelope_in_the_header(scene):
    it = scene.letter()
    outer = element("<s:Envelope><s:Header/></s:Envelope>")
    outer[0].append(it.root)
    outer.append(scene.evil_body())
    return in_bytes(outer)


@forgery
def envelope_in_another_root(scene):
    return in_bytes(wrapped(scene.letter().root))


def in_bytes(root) -> bytes:
    it = Letter(b"<x/>")
    it.root = root
    return it.bytes()


@forgery
def body_before_header(scene):
    it = scene.letter()
    it.root.insert(0, it.body)
    return it.bytes()


@forgery
def two_headers(scene):
    it = scene.letter()
    it.root.insert(0, element("<s:Header/>"))
    return it.bytes()


@forgery
def an_unsigned_header_block(scene):
    it = scene.letter()
    it.header.append(wrapped(tag="To"))
    return it.bytes()


@forgery
def text_in_the_header(scene):
    it = scene.letter()
    it.security.tail = "evil"
    return it.bytes()


# ====================================================================== an old message with a fresh Timestamp
@forgery
def two_stamps_with_one_id_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    put_before(it.stamp, fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()


@forgery
def two_stamps_with_one_id_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    it.stamp.addnext(fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()


@forgery
def two_stamps_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    put_before(it.stamp, fresh_stamp(scene))
    return it.bytes()


@forgery
def two_stamps_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    it.security.append(fresh_stamp(scene))
    return it.bytes()


@forgery
def old_stamp_wrapped(scene):
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    it.header.append(wrapped(old))
    return it.bytes()


@forgery
def old_stamp_in_the_token_reference(scene):
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    it.find(".//wsse:SecurityTokenReference/wsse:Reference").append(old)
    return it.bytes()


@forgery
def doubled_security_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    second = deepcopy(it.security)
    replace(second.find("wsu:Timestamp", NS), fresh_stamp(scene))
    it.header.insert(0, second)
    return it.bytes()


@forgery
def doubled_security_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    second = element("<wsse:Security/>")
    second.append(fresh_stamp(scene))
    it.header.append(second)
    return it.bytes()


@forgery
def stamp_rewritten(scene):
    it = scene.letter()
    scene.later(3600)
    replace(it.stamp, fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()


# ======================================================================================= no signature, or half of one
@forgery
def signature_removed(scene):
    it = scene.letter()
    it.security.remove(it.signature)
    replace(it.body, scene.evil_body())
    return it.bytes()


@forgery
def signature_and_stamp_removed(scene):
    it = scene.letter()
    for part in (it.signature, it.stamp):
        it.security.remove(part)
    replace(it.body, scene.evil_body())
    return it.bytes()


@forgery
def only_a_stamp(scene):
    it = scene.letter()
    for part in (it.signature, it.token):
        it.security.remove(part)
    return it.bytes()


@forgery
def no_security(scene):
    it = scene.letter()
    it.header.remove(it.security)
    return it.bytes()


@forgery
def no_header(scene):
    it = scene.letter()
    it.root.remove(it.header)
    return it.bytes()


@forgery
def signature_value_empty(scene):
    it = scene.letter()
    it.value.text = ""
    return it.bytes()


@forgery
def signature_value_of_zeros(scene):
    it = scene.letter()
    it.value.text = base64.b64encode(bytes(256)).decode()
    return it.bytes()


@forgery
def no_references(scene):
    it = scene.letter()
    for reference in it.references:
        it.info.remove(reference)
    replace(it.body, scene.evil_body())
    return it.bytes()


@forgery
def no_signed_info(scene):
    it = scene.letter()
    it.signature.remove(it.info)
    return it.bytes()


@forgery
def body_changed(scene):
    it = scene.letter()
    replace(it.operation, scene.evil_operation())
    return it.bytes()


@forgery
def body_and_digest_changed(scene):
    it = scene.letter()
    reference = it.reference_to(it.body)
    replace(it.operation, scene.evil_operation())
    it.digest(reference, it.body)
    return it.bytes()


@forgery
def two_signatures(scene):
    it = scene.letter()
    it.signature.addnext(deepcopy(it.signature))
    return it.bytes()


# ================================================================================ what is referenced, and what is not
@crafted
def body_not_signed(scene):
    it = scene.letter()
    it.info.remove(it.reference_to(it.body))
    it.sign(scene.genuine.owner)
    replace(it.body, scene.evil_body())
    return it.bytes()


@crafted
def stamp_not_signed(scene):
    it = scene.letter()
    it.info.remove(it.reference_to(it.stamp))
    it.sign(scene.genuine.owner)
    scene.later(3600)
    replace(it.stamp, fresh_stamp(scene))
    return it.bytes()


@crafted
def token_signed_instead_of_body(scene):
    it = scene.letter()
    it.reference_to(it.body).set("URI", "#" + it.token.get(ID))
    it.resign(scene.genuine.owner)
    replace(it.body, scene.evil_body())
    return it.bytes()


@crafted
def operation_signed_instead_of_body(scene):
    """The Body's child has an id and is signed: the reference is right, the element is not the Body."""
    it = scene.letter()
    it.operation.set(ID, "child")
    it.reference_to(it.body).set("URI", "#child")
    return it.resign(scene.genuine.owner).bytes()


@crafted
def body_signed_twice_stamp_never(scene):
    it = scene.letter()
    it.reference_to(it.stamp).set("URI", "#" + it.body.get(ID))
    it.resign(scene.genuine.owner)
    scene.later(3600)
    replace(it.stamp, fresh_stamp(scene))
    return it.bytes()


@crafted
def body_signed_twice(scene):
    it = scene.letter()
    it.info.append(deepcopy(it.reference_to(it.body)))
    return it.resign(scene.genuine.owner).bytes()


@crafted
def key_info_signed_too(scene):
    it = scene.letter()
    extra = deepcopy(it.reference_to(it.body))
    extra.set("URI", "#R-1")
    it.info.append(extra)
    return it.resign(scene.genuine.owner).bytes()


def body_reference(uri):
    def make(scene):
        it = scene.letter()
        reference = it.reference_to(it.body)
        if uri is None:
            del reference.attrib["URI"]
        else:
            reference.set("URI", uri)
        return it.sign(scene.genuine.owner).bytes()

    return make


for _name, _uri in {
    "reference_empty": "",
    "reference_missing": None,
    "reference_bare_fragment": "#",
    "reference_xpointer_root": "#xpointer(/)",
    "reference_xpointer_id": "#xpointer(id('B-1'))",
    "reference_without_hash": "B-1",
    "reference_to_nothing": "#nobody",
    "reference_to_a_file": "file:///etc/passwd",
    "reference_to_a_server": "http://127.0.0.1:1/body.xml#B-1",
    "reference_to_an_attachment": "cid:body",
}.items():
    FORGERIES[_name] = (body_reference(_uri), True)


# ============================================================================================ which algorithms
def algorithm(path, value, number=None):
    """Everything signed by its owner, under an algorithm that is not allowed."""

    def make(scene):
        it = scene.letter()
        found = it.root.findall(f".//ds:{path}", NS)
        for one in found if number is None else [found[number]]:
            one.set("Algorithm", value)
        return it.resign(scene.genuine.owner).bytes()

    return make


_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
for _name, _path, _value in [
    ("signature_rsa_md5", "SignatureMethod", f"{MORE}rsa-md5"),
    ("signature_rsa_sha512", "SignatureMethod", f"{MORE}rsa-sha512"),
    ("signature_dsa_sha1", "SignatureMethod", f"{DS}dsa-sha1"),
    ("signature_hmac_by_name", "SignatureMethod", f"{DS}hmac-sha1"),
    ("signature_method_unknown", "SignatureMethod", "none"),
    ("digest_md5", "DigestMethod", f"{MORE}md5"),
    ("digest_sha512", "DigestMethod", "http://www.w3.org/2001/04/xmlenc#sha512"),
    ("digest_unknown", "DigestMethod", "none"),
    ("transform_enveloped", "Transform", f"{DS}enveloped-signature"),
    ("transform_xpath", "Transform", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
    ("transform_xpath_filter", "Transform", "http://www.w3.org/2002/06/xmldsig-filter2"),
    ("transform_xslt", "Transform", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    ("transform_base64", "Transform", f"{DS}base64"),
    ("transform_token", "Transform", f"{WSS}soap-message-security-1.0#STR-Transform"),
    ("transform_inclusive", "Transform", _C14N),
    ("transform_inclusive_11", "Transform", "http://www.w3.org/2006/12/xml-c14n11"),
    ("transform_with_comments", "Transform", f"{EXC}WithComments"),
    ("info_inclusive", "CanonicalizationMethod", _C14N),
    ("info_with_comments", "CanonicalizationMethod", f"{EXC}WithComments"),
]:
    FORGERIES[_name] = (algorithm(_path, _value), True)


@crafted
def two_transforms(scene):
    it = scene.letter()
    it.of(1, "Transforms").append(deepcopy(it.of(1, "Transform")))
    return it.resign(scene.genuine.owner).bytes()


@crafted
def no_transforms(scene):
    it = scene.letter()
    it.references[1].remove(it.of(1, "Transforms"))
    return it.resign(scene.genuine.owner).bytes()


@crafted
def transform_with_a_program(scene):
    """An XPath inside a transform of the allowed name."""
    it = scene.letter()
    it.of(1, "Transform").append(element("<ds:XPath>not(//s:Body)</ds:XPath>"))
    return it.resign(scene.genuine.owner).bytes()


@crafted
def signature_method_with_a_parameter(scene):
    it = scene.letter()
    it.find(".//ds:SignatureMethod").append(element("<ds:HMACOutputLength>8</ds:HMACOutputLength>"))
    return it.resign(scene.genuine.owner).bytes()


def hmac_with(secret):
    """The public key is no secret: whoever has it can make this."""

    def make(scene):
        it = scene.letter()
        reference = it.reference_to(it.body)
        replace(it.operation, scene.evil_operation())
        it.digest(reference, it.body)
        return it.sign_hmac(secret(scene.genuine)).bytes()

    return make


FORGERIES["hmac_with_the_public_key"] = (hmac_with(lambda it: it.owner.public), True)
FORGERIES["hmac_with_the_certificate"] = (hmac_with(lambda it: it.der), False)
FORGERIES["hmac_with_nothing"] = (hmac_with(lambda it: b""), False)


# ================================================================================================== whose key
def evil_letter(scene, by):
    return compose(by, create_key("evil"), scene.now)


@forgery
def foreign_certificate_of_the_same_subject(scene):
    return evil_letter(scene, identity("ann", 2)).bytes()


@forgery
def foreign_certificate_of_a_stranger(scene):
    return evil_letter(scene, identity("mallory")).bytes()


@forgery
def foreign_key_under_the_genuine_token(scene):
    it = evil_letter(scene, identity("mallory"))
    it.token.text = base64.b64encode(scene.genuine.der).decode()
    return it.bytes()


@forgery
def foreign_token_under_the_genuine_signature(scene):
    it = scene.letter()
    it.token.text = base64.b64encode(identity("ann", 2).der).decode()
    return it.bytes()


@forgery
def two_tokens_genuine_first(scene):
    it = evil_letter(scene, identity("mallory"))
    first = put_before(it.token, deepcopy(it.token))
    first.text, _ = base64.b64encode(scene.genuine.der).decode(), first.set(ID, "other")
    return it.bytes()


@forgery
def two_tokens_genuine_last(scene):
    it = evil_letter(scene, identity("mallory"))
    last = deepcopy(it.token)
    last.text, _ = base64.b64encode(scene.genuine.der).decode(), last.set(ID, "other")
    it.token.addnext(last)
    return it.bytes()


@forgery
def key_named_by_another_token(scene):
    """The genuine certificate in its place, and the signature's key in a token somewhere else."""
    it = evil_letter(scene, identity("mallory"))
    other = deepcopy(it.token)
    other.set(ID, "other")
    it.token.text = base64.b64encode(scene.genuine.der).decode()
    it.header.append(other)
    it.find(".//wsse:SecurityTokenReference/wsse:Reference").set("URI", "#other")
    return it.bytes()


def key_info(content):
    def make(scene):
        it = evil_letter(scene, identity("mallory"))
        it.token.text = base64.b64encode(scene.genuine.der).decode()
        holder = it.find(".//ds:KeyInfo")
        for child in list(holder):
            holder.remove(child)
        holder.append(element(content(identity("mallory"))))
        return it.bytes()

    return make


def _key_value(by):
    numbers = by.key.public_key().public_numbers()
    modulus, exponent = (
        base64.b64encode(it.to_bytes(n, "big")).decode() for it, n in ((numbers.n, 256), (numbers.e, 3))
    )
    return (
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>{exponent}</ds:Exponent>"
        "</ds:RSAKeyValue></ds:KeyValue>"
    )


def _certificate(by):
    return f"<ds:X509Data><ds:X509Certificate>{base64.b64encode(by.der).decode()}</ds:X509Certificate></ds:X509Data>"


FORGERIES["key_value"] = (key_info(_key_value), False)
FORGERIES["x509_data"] = (key_info(_certificate), False)
FORGERIES["key_name"] = (key_info(lambda by: "<ds:KeyName>ann</ds:KeyName>"), False)
FORGERIES["key_identifier"] = (
    key_info(lambda by: f'<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="{WSS}x">AAAA</wsse:KeyIdentifier>'
             "</wsse:SecurityTokenReference>"), False,
)  # fmt: skip
FORGERIES["token_embedded"] = (
    key_info(lambda by: "<wsse:SecurityTokenReference><wsse:Embedded/></wsse:SecurityTokenReference>"), False,
)  # fmt: skip


def token_reference(uri):
    """Only the name of the key is changed, which no signature covers."""

    def make(scene):
        it = scene.letter()
        target = uri(it) if callable(uri) else uri
        it.find(".//wsse:SecurityTokenReference/wsse:Reference").set("URI", target)
        return it.bytes()

    return make


for _name, _uri in {
    "token_reference_empty": "",
    "token_reference_external": "http://127.0.0.1:1/token",
    "token_reference_to_nothing": "#nobody",
    "token_reference_to_the_body": lambda it: "#" + it.body.get(ID),
    "token_reference_xpointer": "#xpointer(//*)",
}.items():
    FORGERIES[_name] = (token_reference(_uri), False)


@forgery
def key_info_removed(scene):
    it = scene.letter()
    it.signature.remove(it.find(".//ds:KeyInfo"))
    return it.bytes()


@forgery
def certificate_revoked(scene):
    scene.certificates.clear()
    return scene.genuine.message


@forgery
def certificate_with_bytes_behind_it(scene):
    it = scene.letter()
    it.token.text = base64.b64encode(scene.genuine.der + b"\0").decode()
    return it.bytes()


@forgery
def certificate_not_base64(scene):
    it = scene.letter()
    it.token.text = it.token.text[:100] + "*" + it.token.text[100:]
    return it.bytes()


@forgery
def token_of_another_type(scene):
    it = scene.letter()
    it.token.set("ValueType", f"{WSS}x509-token-profile-1.0#PKCS7")
    return it.bytes()


@forgery
def token_without_a_type(scene):
    it = scene.letter()
    del it.token.attrib["ValueType"]
    return it.bytes()


@forgery
def token_in_hexadecimal(scene):
    it = scene.letter()
    it.token.set("EncodingType", f"{WSS}soap-message-security-1.0#HexBinary")
    return it.bytes()


# ==================================================================================== entities, comments, namespaces
def doctype(subset, change=lambda message: message):
    def make(scene):
        message = re.sub(rb"^<\?xml[^>]*\?>\s*", b"", scene.genuine.message)
        return b"<!DOCTYPE x [" + subset + b"]>" + change(message)

    return make


_BOMB = b'<!ENTITY a0 "ha">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)
_HEADER = lambda inside: lambda message: re.sub(rb"(<[^>]*Header>)", rb"\1" + inside, message, count=1)
FORGERIES["doctype"] = (doctype(b""), False)
FORGERIES["entity_unused"] = (doctype(b'<!ENTITY a "b">'), False)
FORGERIES["entity_bomb"] = (doctype(_BOMB, _HEADER(b"&a11;")), False)
FORGERIES["entity_of_white_space"] = (doctype(b'<!ENTITY a " ">', _HEADER(b"&a;")), False)
FORGERIES["entity_from_a_file"] = (
    doctype(b'<!ENTITY a SYSTEM "file:///etc/passwd">', lambda m: m.replace(b"mine", b"&a;").replace(b"mykey", b"&a;")),
    False,
)  # fmt: skip
FORGERIES["entity_for_the_name"] = (
    doctype(b'<!ENTITY a "mine"><!ENTITY b "mykey">',
            lambda m: m.replace(b">mine<", b">&a;<").replace(b">mykey<", b">&b;<")), False,
)  # fmt: skip
FORGERIES["attribute_default"] = (doctype(b'<!ATTLIST x y CDATA "z">'), False)


@forgery
def doctype_in_utf_16(scene):
    make, _ = FORGERIES["entity_unused"]
    return make(scene).decode().encode("utf-16")


def rewritten(pattern, by):
    """The bytes of the genuine message, changed in one place."""

    def make(scene):
        changed, count = re.subn(pattern, by, scene.genuine.message, count=1)
        assert count == 1
        return changed

    return make


for _name, _pattern, _by in [
    ("comment_in_the_name", rb"(keyName>m)", rb"\1<!-- evil -->"),
    ("comment_before_the_name", rb"(keyName>)(?=m)", rb"\1<!-- evil -->"),
    ("comment_in_created", rb"(Created[^>]*>2026-11)", rb"\1<!-- evil -->"),
    ("comment_in_the_signature_value", rb"(SignatureValue[^>]*>)", rb"\1<!---->"),
    ("comment_in_the_token", rb"(MII)", rb"\1<!---->"),
    ("comment_in_the_header", rb"(<[^>]*Header>)", rb"\1<!-- evil -->"),
    ("comment_in_the_body", rb"(<[\w-]+:Body[^>]*>)", rb"\1<!-- evil -->"),
    ("instruction_in_the_header", rb"(<[^>]*Header>)", rb"\1<?evil yes?>"),
    ("instruction_in_the_name", rb"(keyName>)(?=m)", rb"\1<?evil yes?>"),
    ("comment_after_the_end", rb"$", rb"<!-- evil -->"),
    ("comment_before_the_beginning", rb"(<[\w-]+:Envelope)", rb"<!-- evil -->\1"),
    ("instruction_before_the_beginning", rb"(<[\w-]+:Envelope)", rb"<?evil yes?>\1"),
    ("version_changed", rb"ec2.amazonaws.com/doc/2008", rb"ec2.amazonaws.com/doc/2009"),
    ("operation_renamed", rb"CreateKeyPair(.*?)CreateKeyPair>", rb"DeleteKeyPair\1DeleteKeyPair>"),
    ("prefix_of_the_name_bound_again", rb"(<(ns\d|e):keyName)(?=>m)", rb'\1 xmlns:\2="http://example.com"'),
    ("namespace_that_is_relative", rb"(<[\w-]+:Body)", rb'\1 xmlns:evil="evil"'),
    ("envelope_of_soap_1_2", rb"http://schemas.xmlsoap.org/soap/envelope/", rb"http://www.w3.org/2003/05/soap-envelope"),
    ("attribute_added_to_the_body", rb"(<[\w-]+:Body)", rb'\1 evil="yes"'),
    ("attribute_added_to_the_name", rb"(keyName)(?=>m)", rb'\1 evil="yes"'),
    ("white_space_added_to_the_name", rb"(keyName>)(?=m)", rb"\1 "),
    ("character_reference_of_a_control", rb"(keyName>)(?=m)", rb"\1&#1;"),
    ("cut_short", rb"</[^<]*$", rb""),
    ("two_documents", rb"(?s)\A(?:<\?xml[^>]*\?>)?(.*)\Z", rb"\1\1"),
    ("bytes_that_are_not_utf_8", rb"(keyName>)(?=m)", b"\\1\xff"),
]:  # fmt: skip
    FORGERIES[_name] = (rewritten(_pattern, _by), False)
FORGERIES["nothing"] = (lambda scene: b"", False)
FORGERIES["not_xml"] = (lambda scene: b"<" * 1000, False)


@crafted
def unsigned_comment_hides_a_suffix(scene):
    """Signed is the name "mine-not-this"; a reader that stops at a comment would make "mine"."""
    it = compose(scene.genuine.owner, create_key("mine-not-this"), scene.now)
    return it.bytes().replace(b"mine-not-this", b"mine<!-- -->-not-this")


# =================================================================================== one id for two elements
def same_id(path, attribute, of="body"):
    """Another element gets the id of a signed one; none of these places is signed."""

    def make(scene):
        it = scene.letter()
        place = it.root if path == "." else it.find(path)
        if place.get(attribute):
            del place.attrib[attribute]
        place.set(attribute, getattr(it, of).get(ID))
        return it.bytes()

    return make


_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
for _name, _path, _attribute, _of in [
    ("same_id_Id_on_header", "s:Header", "Id", "body"),
    ("same_id_ID_on_header", "s:Header", "ID", "body"),
    ("same_id_id_on_header", "s:Header", "id", "body"),
    ("same_id_xml_id_on_header", "s:Header", _XML_ID, "body"),
    ("same_id_wsu_on_header", "s:Header", ID, "body"),
    ("same_id_Id_on_envelope", ".", "Id", "body"),
    ("same_id_wsu_on_envelope", ".", ID, "stamp"),
    ("same_id_Id_on_security", ".//wsse:Security", "Id", "stamp"),
    ("same_id_Id_on_signature", ".//ds:Signature", "Id", "body"),
    ("same_id_Id_on_key_info", ".//ds:KeyInfo", "Id", "body"),
    ("same_id_ID_on_key_info", ".//ds:KeyInfo", "ID", "stamp"),
    ("same_id_Id_on_token", ".//wsse:BinarySecurityToken", "Id", "body"),
]:
    FORGERIES[_name] = (same_id(_path, _attribute, _of), False)


def other_attribute(evil, signed):
    """The signed Body is found by one kind of id, the evil one by another."""

    def make(scene):
        it = scene.letter()
        body = it.body
        id = body.get(ID)
        replacement = scene.evil_body(None)
        replacement.set(evil, id)
        replace(body, replacement)
        if signed != ID:
            body.set(signed, body.attrib.pop(ID))
        it.header.append(wrapped(body))
        return it.bytes()

    return make


for _name, _evil, _signed in [
    ("ids_confused_Id", "Id", ID),
    ("ids_confused_ID", "ID", ID),
    ("ids_confused_xml_id", _XML_ID, ID),
    ("ids_confused_wsu", ID, _XML_ID),
]:
    FORGERIES[_name] = (other_attribute(_evil, _signed), False)


# ======================================================================================================== time
def at(seconds, by=lambda scene: scene.genuine.message):
    def make(scene):
        scene.later(seconds)
        return by(scene)

    return make


def timed(created, lifetime=300):
    def make(scene):
        owner = scene.genuine.owner
        return compose(owner, create_key("mine"), scene.now + created, lifetime=lifetime).bytes()

    return make


FORGERIES["stale"] = (at(300), False)
FORGERIES["stale_by_a_day"] = (at(86400), False)
FORGERIES["future_by_clock"] = (at(-SKEW - 10), False)
FORGERIES["future"] = (timed(SKEW + 30), True)
FORGERIES["future_by_years"] = (timed(10 * 365 * 86400), True)
FORGERIES["lifetime_too_long"] = (timed(0, LIFETIME + 30), True)
FORGERIES["lifetime_of_years"] = (timed(0, 10 * 365 * 86400), True)
FORGERIES["expires_before_it_is_created"] = (timed(30, -10), True)


def stamped(content):
    """A Timestamp of another content, signed by its owner."""

    def make(scene):
        it = scene.letter()
        begin, end = stamp(scene.now), stamp(scene.now + 300)
        new = element(f'<wsu:Timestamp wsu:Id="T-1">{content.format(begin=begin, end=end)}</wsu:Timestamp>')
        replace(it.stamp, new)
        return it.resign(scene.genuine.owner).bytes()

    return make


_C, _E = "<wsu:Created>{begin}</wsu:Created>", "<wsu:Expires>{end}</wsu:Expires>"
for _name, _content in {
    "stamp_without_created": _E,
    "stamp_without_expires": _C,
    "stamp_empty": "",
    "stamp_two_created": _C + "<wsu:Created>2020-01-01T00:00:00Z</wsu:Created>" + _E,
    "stamp_two_expires": _C + _E + "<wsu:Expires>2099-01-01T00:00:00Z</wsu:Expires>",
    "stamp_in_the_wrong_order": _E + _C,
    "stamp_no_date": "<wsu:Created>now</wsu:Created>" + _E,
    "stamp_blank": "<wsu:Created/>" + _E,
    "stamp_impossible_date": _C + "<wsu:Expires>2026-13-45T99:00:00Z</wsu:Expires>",
    "stamp_without_a_zone": _C.replace("{begin}", "2026-11-18T20:26:40") + _E,
    "stamp_with_elements": "<wsu:Created>{begin}<wsu:x/></wsu:Created>" + _E,
    "stamp_with_more": _C + _E + "<wsu:Later>yes</wsu:Later>",
}.items():
    FORGERIES[_name] = (stamped(_content), True)


@forgery
def stamp_removed(scene):
    it = scene.letter()
    it.security.remove(it.stamp)
    return it.bytes()


# ====================================================================================================== replay
def replayed(again=lambda scene: scene.genuine.message, between=lambda scene: None):
    """The genuine message is executed once, its key pair deleted, and then it comes again."""

    def make(scene):
        answer = scene.send(scene.genuine.message)
        assert answer.status == 200, answer.body
        scene.cloud.key_rows.clear()
        between(scene)
        return again(scene)

    return make


def reencoded(change):
    def again(scene):
        it = scene.letter()
        change(it)
        return it.bytes()

    return again


def _spread(it):
    it.value.text = "\n ".join(re.findall(".", "".join(it.value.text.split())))


def _joined(it):
    it.value.text = "".join(it.value.text.split())


def _renamed(it):
    """What is not signed may be written otherwise: ids of the key, white space."""
    it.find(".//ds:KeyInfo").set("Id", "another")
    it.signature.tail = "\n\n"


for _name, _again in {
    "exact": lambda scene: scene.genuine.message,
    "with_white_space_before": lambda scene: b"\n" + re.sub(rb"^<\?xml[^>]*\?>\s*", b"", scene.genuine.message),
    "serialized_again": lambda scene: scene.letter().bytes(),
    "declared_otherwise": lambda scene: scene.letter().bytes(xml_declaration=True, standalone=True),
    "signature_spread": reencoded(_spread),
    "signature_joined": reencoded(_joined),
    "renamed": reencoded(_renamed),
    "token_spread": reencoded(lambda it: setattr(it.token, "text", "\n".join(re.findall(".{1,4}", it.token.text)))),
}.items():  # fmt: skip
    FORGERIES[f"replay_{_name}"] = (replayed(_again), False)
    FORGERIES[f"replay_{_name}_after_restart"] = (replayed(_again, lambda scene: scene.restart()), False)
FORGERIES["replay_minutes_later"] = (replayed(between=lambda scene: scene.later(290)), False)


# ================================================================================================ size and shape
@forgery
def white_space_without_end(scene):
    it = scene.letter()
    it.security.tail = " " * 300_000
    return it.bytes()


@forgery
def attributes_without_end(scene):
    it = scene.letter()
    for number in range(20):
        it.header.set(f"a{number}", "")
    return it.bytes()


def namespaces(count):
    return " ".join(f'xmlns:a{number}="urn:{number}"' for number in range(count)).encode()


@forgery
def namespaces_without_end(scene):
    return re.sub(rb"(<[\w-]+:Envelope)", rb"\1 " + namespaces(100), scene.genuine.message, count=1)


@crafted
def prefixes_without_end(scene):
    prefixes = " ".join(f"a{number}" for number in range(40))
    return compose(scene.genuine.owner, create_key("mine"), scene.now, prefixes=prefixes).bytes()


@crafted
def references_without_end(scene):
    it = scene.letter()
    for _ in range(100):
        it.info.append(deepcopy(it.references[0]))
    return it.resign(scene.genuine.owner).bytes()


def operation(text):
    def make(scene):
        return compose(scene.genuine.owner, text, scene.now).bytes()

    return make


_DEEP = "<e:x>" * 40 + "</e:x>" * 40
_MANY = "<e:x/>" * 17_000
for _name, _text in {
    "operation_too_deep": create_key(f"mine{_DEEP}"),
    "operation_too_wide": create_key(f"mine{_MANY}"),
    "operation_of_two_namespaces": create_key('mine<evil xmlns="http://example.com"/>'),
    "operation_of_no_namespace": "<CreateKeyPair><keyName>mine</keyName></CreateKeyPair>",
    "operation_missing": "",
    "operation_a_text": "CreateKeyPair",
    "operation_and_text": create_key("mine") + "evil",
    "two_operations_signed": create_key("mine") + create_key("evil"),
    "operation_with_a_signature": create_key(f'mine<ds:Signature xmlns:ds="{DS}"/>'),
}.items():
    FORGERIES[_name] = (operation(_text), True)
