"""Entities, comments, namespaces, and one id for two elements."""

from __future__ import annotations

import re

from soap_forging import (
    FORGERIES,
    ID,
    crafted,
    forgery,
    replace,
    wrapped,
)
from soap_letters import compose, create_key


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
