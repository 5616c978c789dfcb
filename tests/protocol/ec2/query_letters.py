"""Query requests, signed here by hand with each signature version, and taken apart again.

Independent of the verifier: it shares no code with `euca_ec2`, so that a mistake there is not repeated here.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, urlencode

HOST, PATH = "cloud.example:8773", "/services/Eucalyptus"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Key:
    id: str
    secret: str


@dataclass(frozen=True)
class Letter:
    """One HTTP request, its parts as they stand on the wire."""

    method: str = "POST"
    path: str = PATH
    query: str = ""
    headers: tuple[tuple[str, str], ...] = (("Host", HOST),)
    body: bytes = b""

    def bytes(self) -> bytes:
        target = f"{self.path}?{self.query}" if self.query else self.path
        lines = [f"{self.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body

    def with_length(self) -> Letter:
        """With the Content-Length that fits."""
        if not self.body and self.method == "GET":
            return self.without("content-length")
        return self.without("content-length").plus(("Content-Length", str(len(self.body))))

    def plus(self, *headers: tuple[str, str]) -> Letter:
        return replace(self, headers=(*self.headers, *headers))

    def without(self, *names: str) -> Letter:
        """Without these headers, named in lower case."""
        return replace(self, headers=tuple(it for it in self.headers if it[0].lower() not in names))

    def header(self, name: str) -> str:
        return ",".join(value for key, value in self.headers if key.lower() == name)

    def put(self, name: str, value: str) -> Letter:
        """With this header once, in its place if it is there."""
        if not self.header(name.lower()):
            return self.plus((name, value))
        return replace(
            self, headers=tuple((k, value if k.lower() == name.lower() else v) for k, v in self.headers)
        )


def taken_apart(message: bytes) -> Letter:
    """A letter from the wire; what is no HTTP becomes some letter all the same."""
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, target = first.partition(" ")
    path, _, query = target.rpartition(" ")[0].partition("?")
    headers = [line.partition(":") for line in lines]
    return Letter(method, path, query, tuple((name, value.strip(" \t")) for name, _, value in headers), body)


def pairs(text: str | bytes) -> list[tuple[str, str]]:
    """Names and values of a form or query, read without judging them."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return parse_qsl(text, keep_blank_values=True, errors="replace", separator="&")


def encoded(text: str) -> str:
    return quote(text, safe="-_.~", errors="replace")


def stamp(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def basic(at: float) -> str:
    return stamp(at).replace("-", "").replace(":", "")


def form(given: dict[str, str], letter: Letter) -> Letter:
    """The parameters as this letter carries them: in the body of a POST, in the query of a GET."""
    if letter.method == "GET":
        return replace(
            letter, query=urlencode(given, quote_via=quote, safe="-_.~", errors="replace"), body=b""
        )
    letter = letter.put("Content-Type", FORM)
    return replace(letter, query="", body=urlencode(given, errors="replace").encode())


# ------------------------------------------------------------------------------------------------ versions 1 and 2
def claims(key: Key, version: str, at: float, given: dict[str, str]) -> dict[str, str]:
    return {"Timestamp": stamp(at), **given, "AWSAccessKeyId": key.id, "SignatureVersion": version}


def text_v1(given: dict[str, str]) -> str:
    """What version 1 signs: names and values in a row, sorted without regard to case, nothing between them."""
    return "".join(name + given[name] for name in sorted(given, key=str.lower) if name != "Signature")


def v1(key: Key, given: dict[str, str], at: float, letter: Letter | None = None) -> Letter:
    given = claims(key, "1", at, given)
    text = text_v1(given).encode("utf-8", "replace")
    signature = base64.b64encode(hmac.digest(key.secret.encode(), text, "sha1")).decode()
    return form({**given, "Signature": signature}, letter or Letter())


def text_v2(letter: Letter, given: dict[str, str], host: str = HOST) -> str:
    names = sorted(
        (name for name in given if name != "Signature"), key=lambda it: it.encode("utf-8", "replace")
    )
    query = "&".join(f"{encoded(name)}={encoded(given[name])}" for name in names)
    return f"{letter.method}\n{host.lower()}\n{letter.path}\n{query}"


def v2(
    key: Key, given: dict[str, str], at: float, letter: Letter | None = None, *, digest: str = "sha256"
) -> Letter:
    letter = letter or Letter()
    given = {"SignatureMethod": f"Hmac{digest.upper()}", **claims(key, "2", at, given)}
    text = text_v2(letter, given, letter.header("host")).encode("latin-1", "replace")
    signature = base64.b64encode(hmac.digest(key.secret.encode(), text, digest)).decode()
    return form({**given, "Signature": signature}, letter)


# ------------------------------------------------------------------------------------------------------- version 4
def canonical(letter: Letter, signed: str, payload: str = "") -> str:
    """As it is signed: a presigned query has no X-Amz-Signature yet."""
    lines = []
    for name in signed.split(";"):
        values = [re.sub(" +", " ", v.strip(" ")) for k, v in letter.headers if k.lower() == name]
        lines.append(f"{name}:{','.join(values)}\n")
    query = sorted((encoded(n), encoded(v)) for n, v in pairs(letter.query))
    return "\n".join(
        (
            letter.method,
            letter.path,
            "&".join(f"{n}={v}" for n, v in query),
            "".join(lines),
            signed,
            payload or hashlib.sha256(letter.body).hexdigest(),
        )
    )


def signature_v4(key: Key, letter: Letter, signed: str, scope: str, moment: str, payload: str = "") -> str:
    hashed = hashlib.sha256(canonical(letter, signed, payload).encode("utf-8", "replace")).hexdigest()
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashed}"
    secret = ("AWS4" + key.secret).encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return hmac.digest(secret, text.encode(), "sha256").hex()


def sign_v4(
    key: Key,
    letter: Letter,
    at: float,
    *,
    signed: str = "host;x-amz-date",
    scope: str = "",
    payload: str = "",
) -> Letter:
    """In the Authorization header, over the letter as it is; `scope` is DATE/REGION/SERVICE/aws4_request."""
    moment = basic(at)
    scope = scope or f"{moment[:8]}/eucalyptus/ec2/aws4_request"
    letter = letter.without("authorization").put("X-Amz-Date", moment)
    signature = signature_v4(key, letter, signed, scope, moment, payload)
    return letter.plus(
        (
            "Authorization",
            f"{ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={signed}, Signature={signature}",
        )
    )


def v4(key: Key, given: dict[str, str], at: float, letter: Letter | None = None, **how: str) -> Letter:
    return sign_v4(key, form(given, letter or Letter()), at, **how)


def presign_v4(key: Key, letter: Letter, at: float, *, expires: int = 300, signed: str = "host") -> Letter:
    moment = basic(at)
    scope = f"{moment[:8]}/eucalyptus/ec2/aws4_request"
    claim = {
        "X-Amz-Algorithm": ALGORITHM, "X-Amz-Credential": f"{key.id}/{scope}", "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": signed,
    }  # fmt: skip
    query = "&".join(filter(None, (letter.query, urlencode(claim))))
    letter = replace(letter, query=query)
    return replace(
        letter, query=f"{query}&X-Amz-Signature={signature_v4(key, letter, signed, scope, moment)}"
    )


def presigned(key: Key, given: dict[str, str], at: float, **how) -> Letter:
    return presign_v4(key, form(given, Letter("GET")), at, **how)
