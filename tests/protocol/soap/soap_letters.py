"""Signed SOAP messages, written here with keys of our own or taken from captures, and taken apart again.

Independent of the verifier: it shares no code with `euca_ec2`, so that a mistake there is not repeated here.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import random
import re
import time
from copy import deepcopy
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from lxml import etree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
DS = "http://www.w3.org/2000/09/xmldsig#"
WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE, WSU = f"{WSS}wssecurity-secext-1.0.xsd", f"{WSS}wssecurity-utility-1.0.xsd"
X509V3, BASE64 = f"{WSS}x509-token-profile-1.0#X509v3", f"{WSS}soap-message-security-1.0#Base64Binary"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA1, RSA_SHA256 = f"{DS}rsa-sha1", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA1, SHA256 = f"{DS}sha1", "http://www.w3.org/2001/04/xmlenc#sha256"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
NS = {"s": SOAP, "ds": DS, "wsse": WSSE, "wsu": WSU}
DIGESTS = {
    SHA1: hashlib.sha1, SHA256: hashlib.sha256, f"{MORE}md5": hashlib.md5,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashlib.sha512,
}  # fmt: skip
HASHES = {
    RSA_SHA1: hashes.SHA1(), RSA_SHA256: hashes.SHA256(), f"{MORE}rsa-md5": hashes.MD5(),
    f"{MORE}rsa-sha512": hashes.SHA512(),
}  # fmt: skip


class Identity:
    """A key and a certificate: made here and signed by itself, or from the two files that a user is given."""

    def __init__(self, name: str, key_pem: bytes = b"", certificate_pem: bytes = b"") -> None:
        if key_pem:
            self.key = load_pem_private_key(key_pem, None)
            self.der = x509.load_pem_x509_certificate(certificate_pem).public_bytes(Encoding.DER)
            return
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = datetime.datetime(2023, 1, 1, tzinfo=datetime.UTC)
        built = x509.CertificateBuilder(
            subject, subject, self.key.public_key(), 7, begin, begin.replace(2043)
        )
        self.der = built.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
        self.public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes, method: str = RSA_SHA1) -> bytes:
        return self.key.sign(data, padding.PKCS1v15(), HASHES[method])


@cache
def identity(name: str, number: int = 0) -> Identity:
    """Another number: another key for the same name."""
    return Identity(name)


def canonical(element, prefixes=(), **how) -> bytes:
    return etree.tostring(
        element, method="c14n", exclusive=True, inclusive_ns_prefixes=list(prefixes) or None, **how
    )


def stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Letter:
    """A message as a tree whose parts can be reached, moved and signed again."""

    def __init__(self, message: bytes) -> None:
        self.root = etree.fromstring(message)

    def find(self, path: str):
        return self.root.find(path, NS)

    @property
    def header(self):
        return self.find("s:Header")

    @property
    def security(self):
        return self.find("s:Header/wsse:Security")

    @property
    def stamp(self):
        return self.find(".//wsu:Timestamp")

    @property
    def token(self):
        return self.find(".//wsse:BinarySecurityToken")

    @property
    def signature(self):
        return self.find(".//ds:Signature")

    @property
    def info(self):
        return self.find(".//ds:SignedInfo")

    @property
    def references(self):
        return self.root.findall(".//ds:Reference", NS)

    @property
    def value(self):
        return self.find(".//ds:SignatureValue")

    @property
    def body(self):
        return self.find("s:Body")

    @property
    def operation(self):
        return self.body[0]

    def bytes(self, **how) -> bytes:
        return etree.tostring(self.root, encoding="utf-8", **how)

    def of(self, number: int, tag: str):
        """A part of a Reference."""
        return self.references[number].find(f".//ds:{tag}", NS)

    def reference_to(self, element):
        id = element.get(f"{{{WSU}}}Id")
        return next(it for it in self.references if it.get("URI") == f"#{id}")

    def digest(self, reference, element=None) -> None:
        """The right DigestValue, of what the reference names or of another element."""
        if element is None:
            id = reference.get("URI")[1:]
            element = next(it for it in self.root.iter() if id in (it.get(f"{{{WSU}}}Id"), it.get("Id")))
        method = DIGESTS.get(reference.find("ds:DigestMethod", NS).get("Algorithm"), hashlib.sha1)
        inclusive = reference.find(f".//{{{EXC}}}InclusiveNamespaces")
        prefixes = () if inclusive is None else inclusive.get("PrefixList").split()
        value = base64.b64encode(method(canonical(element, prefixes)).digest()).decode()
        reference.find("ds:DigestValue", NS).text = value

    def sign(self, by: Identity) -> Letter:
        """The signature over SignedInfo as it is now."""
        method = self.find(".//ds:SignatureMethod").get("Algorithm")
        self.value.text = base64.b64encode(
            by.sign(canonical(self.info), method if method in HASHES else RSA_SHA1)
        ).decode()
        return self

    def sign_hmac(self, secret: bytes) -> Letter:
        self.find(".//ds:SignatureMethod").set("Algorithm", f"{DS}hmac-sha1")
        self.value.text = base64.b64encode(hmac.digest(secret, canonical(self.info), "sha1")).decode()
        return self

    def resign(self, by: Identity) -> Letter:
        for reference in self.references:
            if (reference.get("URI") or "").startswith("#"):
                self.digest(reference)
        return self.sign(by)


def compose(
    by: Identity,
    operation: str,
    at: float,
    *,
    lifetime: float = 300,
    method: str = RSA_SHA1,
    digest: str = SHA1,
    prefixes: str | None = None,
    order: str = "stamp token signature",
) -> Letter:
    """A signed message around one operation, given as XML."""
    inclusive = (
        "" if prefixes is None else f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{prefixes}"/>'
    )
    reference = (
        '<ds:Reference URI="#{0}"><ds:Transforms><ds:Transform Algorithm="{1}">{2}</ds:Transform></ds:Transforms>'
        '<ds:DigestMethod Algorithm="{3}"/><ds:DigestValue/></ds:Reference>'
    )
    parts = {
        "stamp": f'<wsu:Timestamp wsu:Id="T-1"><wsu:Created>{stamp(at)}</wsu:Created>'
        f"<wsu:Expires>{stamp(at + lifetime)}</wsu:Expires></wsu:Timestamp>",
        "token": f'<wsse:BinarySecurityToken ValueType="{X509V3}" EncodingType="{BASE64}" wsu:Id="X-1">'
        f"{base64.b64encode(by.der).decode()}</wsse:BinarySecurityToken>",
        "signature": '<ds:Signature Id="S-1"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{EXC}"/><ds:SignatureMethod Algorithm="{method}"/>'
        f"{reference.format('T-1', EXC, inclusive, digest)}{reference.format('B-1', EXC, inclusive, digest)}"
        '</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo Id="K-1"><wsse:SecurityTokenReference wsu:Id="R-1">'
        f'<wsse:Reference URI="#X-1" ValueType="{X509V3}"/></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>',
    }
    text = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:wsse="{WSSE}" xmlns:wsu="{WSU}" xmlns:ds="{DS}"><s:Header><wsse:Security>'
        f"{''.join(parts[it] for it in order.split())}</wsse:Security></s:Header>"
        f'<s:Body wsu:Id="B-1">{operation}</s:Body></s:Envelope>'
    )
    return Letter(text.encode()).resign(by)


class Signing:
    """zeep's plugin for WS-Security: the Body that zeep made, in an envelope that we sign."""

    def __init__(self, by: Identity) -> None:
        self.by = by

    def apply(self, envelope, headers):
        it = compose(self.by, "<x/>", time.time())
        it.body.remove(it.body[0])
        it.body.extend(list(envelope.find("{*}Body")))
        # Ids of its own for each message: without them two like ones of one second would have one signature.
        message = re.sub(rb'"(#?)([BTX])-1"', rb'"\1\2-%d"' % random.getrandbits(64), it.bytes())
        return Letter(message).resign(self.by).root, headers

    def verify(self, envelope):
        return envelope


def create_key(name: str, version: str = "2008-02-01") -> str:
    namespace = f"http://ec2.amazonaws.com/doc/{version}/"
    return f'<e:CreateKeyPair xmlns:e="{namespace}"><e:keyName>{name}</e:keyName></e:CreateKeyPair>'


def element(text: str):
    """From XML with the usual prefixes."""
    opened = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
    return deepcopy(etree.fromstring(f"<x {opened}>{text}</x>")[0])


def captured(path) -> tuple[dict[str, str], bytes]:
    """Headers and body of a captured request."""
    head, body = re.split(rb"\r?\n\r?\n", path.read_bytes(), maxsplit=1)
    headers = dict(line.split(": ", 1) for line in head.decode().replace("\r", "").split("\n")[1:])
    return headers, body[: int(headers["Content-Length"])]


def created_at(message: bytes) -> float:
    text = re.search(rb"Created[^>]*>([^<]+)<", message)[1].decode().replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(text).timestamp()
