"""What the signature says: none or half of one, other references, other algorithms."""

from __future__ import annotations

import base64
from copy import deepcopy

from soap_forging import (
    FORGERIES,
    ID,
    crafted,
    forgery,
    fresh_stamp,
    replace,
)
from soap_letters import DS, EXC, MORE, NS, WSS, element


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
