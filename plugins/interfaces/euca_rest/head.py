"""The head of an HTTP/1.1 request, read strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from euca_rpc.http.statuses import Refused

MOST_HEAD = 16 * 1024
MOST_BODY = 64 * 1024
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])", re.ASCII)
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    length: int  # of the body
    keep: bool  # the client may send another request after this one
    waits: bool  # for 100 Continue, before it sends the body


def parse(raw: bytes) -> Head:
    """``raw`` ends with the empty line."""
    first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _wrong("The first line is no HTTP/1.1 request line with a path.")
    headers: dict[str, str] = {}
    for text in lines:
        field = _FIELD.fullmatch(text)
        if field is None:
            raise _wrong("A line of the head is no header field.")
        name = field[1].lower()
        if name in headers:
            if name not in ("accept", "cookie", "via", "x-forwarded-for", "accept-encoding"):
                raise _wrong(f"The header {name[:40]!a} comes twice.")
            continue
        headers[name] = field[2].rstrip(" \t")
    if "transfer-encoding" in headers:
        raise Refused(
            411, "parameter_invalid", "Send the body with a Content-Length, not with a Transfer-Encoding."
        )
    length = headers.get("content-length", "0")
    if _LENGTH.fullmatch(length) is None:
        raise _wrong("Content-Length is no number.")
    if int(length) > MOST_BODY:
        raise Refused(
            413, "parameter_invalid", f"The body has {int(length)} bytes; at most {MOST_BODY} are taken."
        )
    newer = line[3] == "1"
    if newer and "host" not in headers:
        raise _wrong("The header Host is missing.")
    path, _, query = line[2].partition("?")
    return Head(
        line[1],
        path,
        query,
        headers,
        int(length),
        keep=newer and "close" not in headers.get("connection", "").lower(),
        waits=newer and headers.get("expect", "").lower() == "100-continue" and int(length) > 0,
    )


def _wrong(sentence: str) -> Refused:
    return Refused(400, "parameter_invalid", sentence)
