"""The parts of a signed SOAP message, each in the one place where it may be.

    bytes ─► one tree ─► ids ─► Parts ─► payload

Only shape is looked at here, before anything is known of who sent it, so there are limits to everything.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from lxml import etree

MOST_BYTES = 256 * 1024
MOST_TAGS = 16_000  # opening and closing; a request that names 1,000 instances has 4,000
DEPTH = 24
# libxml2 and lxml look through these one by one, some of them for each element: many of them would cost seconds.
MOST_ATTRIBUTES = 16  # of one element
MOST_NAMESPACES = 64  # declared around what is signed
MOST_REFERENCES = 3  # Body, Timestamp, token

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE = f"{{{WSS}wssecurity-secext-1.0.xsd}}"
WSU = f"{{{WSS}wssecurity-utility-1.0.xsd}}"

Element = Any  # lxml's own type is private
T = TypeVar("T")


class Refused(Exception):
    """The reason, for the log."""


def apart(work: Callable[[], T]) -> T:
    """In a thread of its own, which costs 0.1 ms.  lxml keeps every name that a thread has ever parsed for as long as
    the thread lives, so that strangers could fill the memory of a thread that stays."""
    outcome: list[T | BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    found = outcome.pop()
    try:
        if isinstance(found, BaseException):
            raise found
        return found
    finally:
        del found  # an error that is among its own frame's variables would keep the whole tree


# ------------------------------------------------------------------------------------------------- one tree
_PARSER: dict[str, Any] = {
    "encoding": "utf-8",
    "resolve_entities": False,
    "load_dtd": False,
    "dtd_validation": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": False,
    "remove_pis": False,
}
_too_deep = etree.XPath("boolean(/*" + "/*" * DEPTH + ")")


def parsed(message: bytes) -> Element:
    """The root.  Limits and document types are looked at before a parser sees the bytes; since they are read as UTF-8
    whatever they claim to be, a document type cannot hide in another encoding."""
    if len(message) > MOST_BYTES or message.count(b"<") > MOST_TAGS:
        raise Refused("a message beyond the limits")
    if b"<!DOCTYPE" in message:
        raise Refused("a document type")
    try:
        root = etree.fromstring(message, etree.XMLParser(**_PARSER))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused(f"no XML: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Refused("a document type")
    if _too_deep(root):
        raise Refused("elements nested too deeply")
    if root.getprevious() is not None or root.getnext() is not None:
        raise Refused("something beside the envelope")
    return root


def unique_ids(envelope: Element) -> dict[str, Element]:
    """Every id there is, whatever its attribute is called (wsu:Id, Id, ID, xml:id): none may be given twice.  Comments
    are not signed and split the texts around them, so there may be none; nor anything else that is no element."""
    ids: dict[str, Element] = {}
    for element in envelope.iter():
        if not isinstance(element.tag, str):
            raise Refused("a comment, an entity or a processing instruction")
        if len(element.attrib) > MOST_ATTRIBUTES:
            raise Refused(f"too many attributes of {local(element)}")
        for name, value in element.attrib.items():
            if name.rpartition("}")[2].lower() == "id":
                if value in ids:
                    raise Refused(f"the id {value[:40]!r} is given twice")
                ids[value] = element
    return ids


# ---------------------------------------------------------------------------------------------- in its place
@dataclass(frozen=True, slots=True)
class Parts:
    body: Element
    stamp: Element
    created: str
    expires: str
    token: Element
    info: Element  # SignedInfo
    references: list[Element]
    value: str
    key_reference: Element


def placed(envelope: Element) -> Parts:
    """Each part in the one place where it may be, and nothing beside it."""
    if envelope.tag != SOAP + "Envelope":
        raise Refused(f"no SOAP envelope but {envelope.tag[:80]!r}")
    header, body = children(envelope, SOAP + "Header", SOAP + "Body")
    (security,) = children(header, WSSE + "Security")
    stamp, token, signature = children(
        security, WSU + "Timestamp", WSSE + "BinarySecurityToken", DS + "Signature", any_order=True
    )
    created, expires = children(stamp, WSU + "Created", WSU + "Expires")
    info, value, key_info = children(signature, DS + "SignedInfo", DS + "SignatureValue", DS + "KeyInfo")
    if len(signature.nsmap) > MOST_NAMESPACES:
        raise Refused("too many namespaces around the signature")
    references = list(info)[2:]
    if len(references) > MOST_REFERENCES:
        raise Refused("too many references")
    children(
        info, DS + "CanonicalizationMethod", DS + "SignatureMethod", *[DS + "Reference"] * len(references)
    )
    (token_reference,) = children(key_info, WSSE + "SecurityTokenReference")
    (key_reference,) = children(token_reference, WSSE + "Reference")
    children(key_reference)
    return Parts(
        body, stamp, text(created), text(expires), token, info, references, text(value), key_reference
    )


def children(parent: Element, *tags: str, any_order: bool = False) -> list[Element]:
    """Exactly these, in the order named, with nothing but white space between them."""
    found = list(parent)
    if any_order:
        found.sort(key=lambda child: tags.index(child.tag) if child.tag in tags else len(tags))
    if [child.tag for child in found] != list(tags):
        raise Refused(f"{[local(it) for it in found][:9]} in {local(parent)}")
    if not blank([parent.text, *(child.tail for child in found)]):
        raise Refused(f"text in {local(parent)}")
    return found


def payload(body: Element) -> Element:
    """The one child of the Body.  All that is in it is of its own namespace, so that no second envelope, header or
    signature can be inside."""
    if len(body) != 1 or not blank([body.text, body[0].tail]):
        raise Refused("not exactly one element in the Body")
    (element,) = body
    namespace = etree.QName(element).namespace
    if namespace is None or any(etree.QName(it).namespace != namespace for it in element.iter("*")):
        raise Refused("several namespaces in the Body")
    return element


def text(element: Element) -> str:
    if len(element):
        raise Refused(f"elements in {local(element)}")
    return element.text or ""


def blank(texts: Iterable[str | None]) -> bool:
    return not any(it and it.strip(" \t\r\n") for it in texts)


def local(element: Element) -> str:
    return str(etree.QName(element).localname)[:40]
