"""Requests as ordinary clients send them, read from the gate's buffer at once; anything else is cheroot's to read.

    GET or POST, a target that begins with one slash, HTTP/1.1, each header once and in printable ASCII, a body by its
    Content-Length and already here

Such a request can be read in one way only, so it does not matter who reads it; what is unusual in any respect (another
method, a list of encodings, a header twice, a connection to be closed …) is left in the buffer untouched.  This costs a
tenth of what cheroot and WSGI cost, which is half of what an EC2 server does for a small request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses

from euca_rpc.frozen import quick
from euca_rpc.http.gathered import MAX_BODY, MAX_HEAD, Gathered
from euca_rpc.steps import Steps

# a header's name as `head` has it; its value in printable ASCII
_HEAD = re.compile(
    rb"(GET|POST) (/(?:[!\"$-.0-~][!\"$-~]*)?) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^`|~0-9A-Za-z-]{1,200}:[ -~\t]*\r\n)+)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,7}", re.ASCII)
_UNUSUAL = frozenset(("expect", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive"))


@quick
@dataclass(frozen=True, slots=True)
class Ordinary:
    method: str
    target: str  # as sent: path and query
    headers: tuple[tuple[str, str], ...]  # names in lower case, each once
    body: bytes = field(repr=False)
    secure: bool


@quick
@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Direct:
    """An application without WSGI, for ordinary requests."""

    answer: Callable[[Ordinary], Steps[Reply]]
    # A matter of a moment, but for what the steps wait for?  By the look of it: only the thread depends on it.
    brief: Callable[[Ordinary], bool] = lambda asked: False


def take(gathered: Gathered, secure: bool) -> Ordinary | None:
    """The request at the beginning of the buffer, taken out of it; None: it is not ordinary, or not all here."""
    buffer = gathered.buffer
    found = _HEAD.match(buffer, 0, MAX_HEAD)
    if found is None:
        return None
    headers: dict[str, str] = {}
    lines = found[3].decode("ascii").split("\r\n")
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    length = headers.get("content-length", "0")
    kept = headers.get("connection", "keep-alive").lower() == "keep-alive"
    whole = len(headers) == len(lines) - 1 and _UNUSUAL.isdisjoint(headers) and _LENGTH.fullmatch(length)
    if not kept or not whole:
        return None
    head, size = found.end(), int(length)
    method, target = found[1].decode(), found[2].decode()
    if size > MAX_BODY or len(buffer) < head + size:
        return None
    body = gathered.read(head + size)[head:]
    return Ordinary(method, target, tuple(headers.items()), body, secure)


def written(reply: Reply, server: str, closes: bool) -> bytes:
    """The answer as it goes out."""
    lines = [f"HTTP/1.1 {reply.status} {responses[reply.status]}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    lines.append(f"Server: {server}\r\nConnection: close\r\n\r\n" if closes else f"Server: {server}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1") + reply.body
