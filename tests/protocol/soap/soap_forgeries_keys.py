"""Whose key: other certificates, other tokens, other ways to name one."""

from __future__ import annotations

import base64
from copy import deepcopy

from soap_forging import (
    FORGERIES,
    ID,
    forgery,
    put_before,
)
from soap_letters import WSS, compose, create_key, element, identity


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
