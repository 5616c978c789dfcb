"""The same calls as SOAP 1.1 with WS-Security, signed before any clock runs: RSA and SHA-1 as the tools of 2008 do.

What is signed is written in its exclusive canonical form from the start (each part declares its own prefixes, in
order), so that a digest is the hash of the text itself and no XML library is needed.  A message is good once: each has
an id of its own, by which its signature differs, and five minutes to be sent in.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from euca_rpc.cli.people import CERTIFICATE_FILE, PRIVATE_KEY_FILE

from .signed import HOST

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE, WSU = f"{WSS}wssecurity-secext-1.0.xsd", f"{WSS}wssecurity-utility-1.0.xsd"
X509V3, BASE64 = f"{WSS}x509-token-profile-1.0#X509v3", f"{WSS}soap-message-security-1.0#Base64Binary"
DS, EXCLUSIVE = "http://www.w3.org/2000/09/xmldsig#", "http://www.w3.org/2001/10/xml-exc-c14n#"
LIFETIME = 300  # seconds

Inside = tuple[tuple[str, "str | Inside"], ...]  # elements in their order: name, and text or elements


class SoapSigner:
    """``directory`` is what `euca credentials` wrote; ``version`` is a date of Amazon's."""

    def __init__(self, directory: Path, version: str) -> None:
        self.version = version
        key = load_pem_private_key((directory / PRIVATE_KEY_FILE).read_bytes(), None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        der = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes()).public_bytes(
            Encoding.DER
        )
        self._token = base64.b64encode(der).decode()

    def request(self, action: str, inside: Inside = ()) -> bytes:
        id, now = secrets.token_hex(8), time.time()
        namespace = f"http://ec2.amazonaws.com/doc/{self.version}/"
        body = (
            f'<s:Body xmlns:s="{SOAP}" xmlns:wsu="{WSU}" wsu:Id="B-{id}">'
            f'<{action} xmlns="{namespace}">{elements(inside)}</{action}></s:Body>'
        )
        stamp = (
            f'<wsu:Timestamp xmlns:wsu="{WSU}" wsu:Id="T-{id}"><wsu:Created>{moment(now)}</wsu:Created>'
            f"<wsu:Expires>{moment(now + LIFETIME)}</wsu:Expires></wsu:Timestamp>"
        )
        info = (
            f'<ds:SignedInfo xmlns:ds="{DS}"><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">'
            f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{DS}rsa-sha1"></ds:SignatureMethod>'
            f"{reference(f'T-{id}', stamp)}{reference(f'B-{id}', body)}</ds:SignedInfo>"
        )
        value = base64.b64encode(self._key.sign(info.encode(), PKCS1v15(), hashes.SHA1())).decode()
        message = (
            f'<s:Envelope xmlns:s="{SOAP}"><s:Header><wsse:Security xmlns:wsse="{WSSE}">'
            f'<wsse:BinarySecurityToken xmlns:wsu="{WSU}" EncodingType="{BASE64}" ValueType="{X509V3}" '
            f'wsu:Id="X-{id}">{self._token}</wsse:BinarySecurityToken>{stamp}'
            f'<ds:Signature xmlns:ds="{DS}">{info}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo>'
            f'<wsse:SecurityTokenReference><wsse:Reference URI="#X-{id}" ValueType="{X509V3}"/>'
            "</wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature></wsse:Security></s:Header>"
            f"{body}</s:Envelope>"
        ).encode()
        head = (
            f"POST /services/Eucalyptus HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/xml; charset=utf-8\r\n"
            f'SOAPAction: "{action}"\r\nContent-Length: {len(message)}\r\n\r\n'
        )
        return head.encode() + message

    def zones(self) -> bytes:
        return self.request("DescribeAvailabilityZones", (("availabilityZoneSet", ()),))

    def describe(self) -> bytes:
        return self.request("DescribeInstances", (("instancesSet", ()),))

    def launch(self, image: str) -> bytes:
        """Of one machine; each message is another launch, by its signature."""
        wanted = (("imageId", image), ("minCount", "1"), ("maxCount", "1"), ("groupSet", ()))
        return self.request("RunInstances", (*wanted, ("instanceType", "m1.small")))


def elements(inside: Inside) -> str:
    """Canonical: no element is left empty by a short form."""
    return "".join(
        f"<{name}>{value if isinstance(value, str) else elements(value)}</{name}>" for name, value in inside
    )


def reference(id: str, canonical: str) -> str:
    digest = base64.b64encode(hashlib.sha1(canonical.encode()).digest()).decode()
    return (
        f'<ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform>'
        f'</ds:Transforms><ds:DigestMethod Algorithm="{DS}sha1"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    )


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
