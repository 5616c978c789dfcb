"""Answer messages become XML: element order is the order of the fields, and each class is compiled once per era.

No document tree is built.  What was rendered for an instance is remembered as bytes until the
instance changes, and so is what was rendered for a reservation.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable
from typing import Any

from euca_rpc.clock import iso

from .fields import Items, Kind, Made, Struct, Wire, era_of

Put = Callable[[bytes], None]
Emit = Callable[[Any, Put], None]
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
FEW, SHORT = (
    250,
    100,
)  # elements remembered of each kind, and bytes of what is: most of them say what others said
MOST_REMEMBERED = 20_000_000  # bytes of rendered machines per era, and as many of rendered reservations

_PLAIN = re.compile("[\t\n\u0020-%'-;=?-~]*")  # nothing to be done for most texts: one quick look
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Fit for an element's content; what XML cannot carry at all becomes U+FFFD."""
    if _PLAIN.fullmatch(text):
        return text
    text = _ILLEGAL.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


_SIMPLE: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: escaped,
    Kind.INTEGER: str,
    Kind.FLAG: lambda value: "true" if value else "false",
    Kind.BASE64: lambda value: base64.b64encode(value).decode(),
    Kind.MOMENT: iso,
}


class Renderer:
    """Renders answers, and remembers the bytes of what was rendered before: one per interface, since ids are unique
    only within a cloud."""

    def __init__(self) -> None:
        self._emitters: dict[tuple[type[Any], str], Emit] = {}

    def render(self, name: str, message: Any, version: str, request_id: str) -> bytes:
        """The whole answer ``<name>Response`` in the namespace asked for, with its trailing slash."""
        era = era_of(version)
        parts = [
            DECLARATION,
            f'<{name}Response xmlns="http://ec2.amazonaws.com/doc/{version}/">'.encode(),
        ]
        if era >= "2008-12-01":
            parts.append(f"<requestId>{request_id}</requestId>".encode())
        self._emitter(type(message), era)(message, parts.append)
        parts.append(f"</{name}Response>".encode())
        return b"".join(parts)

    def _emitter(self, message: type[Any], era: str) -> Emit:
        """Writes the children of a message in the order of its fields."""
        found = self._emitters.get((message, era))
        if found is not None:
            return found
        steps: list[tuple[str, Emit]] = []
        for field in dataclasses.fields(message):
            wire: Wire = field.metadata["wire"]
            if (not wire.since or wire.since <= era) and (not wire.until or era < wire.until):
                steps.append((field.name, self._element(wire, era)))

        def emit(value: Any, put: Put) -> None:
            for name, write in steps:
                part = getattr(value, name)
                if part is not None:
                    write(part, put)

        self._emitters[message, era] = emit
        return emit

    def _element(self, wire: Wire, era: str) -> Emit:
        kind = wire.kind
        if isinstance(kind, Struct):
            return _enclosing(wire.name, self._emitter(kind.of, era))
        if isinstance(kind, Items):
            return _listing(
                wire.name, self._element(Wire("item", Struct(kind.of) if kind.of else Kind.TEXT), era)
            )
        if isinstance(kind, Made):
            return _listing(wire.name, _remembering(kind, self._element(Wire("item", Struct(kind.of)), era)))
        return _simple(wire.name, _SIMPLE[kind])


def _simple(name: str, spell: Callable[[Any], str]) -> Emit:
    before, after, empty = f"<{name}>", f"</{name}>", f"<{name}/>".encode()
    remembered: dict[Any, bytes] = {}

    def write(value: Any, put: Put) -> None:
        element = remembered.get(value)
        if element is None:
            text = spell(value)
            element = f"{before}{text}{after}".encode() if text else empty
            if len(element) <= SHORT:
                if len(remembered) >= FEW:
                    remembered.clear()
                remembered[value] = element
        put(element)

    return write


def _enclosing(name: str, inside: Emit) -> Emit:
    opened, closed = f"<{name}>".encode(), f"</{name}>".encode()

    def write(value: Any, put: Put) -> None:
        put(opened)
        inside(value, put)
        put(closed)

    return write


def _listing(name: str, entry: Emit) -> Emit:
    opened, closed, empty = f"<{name}>".encode(), f"</{name}>".encode(), f"<{name}/>".encode()

    def write(value: Any, put: Put) -> None:
        if not value:
            put(empty)
            return
        put(opened)
        for part in value:
            entry(part, put)
        put(closed)

    return write


def _remembering(kind: Made, entry: Emit) -> Emit:
    remembered: dict[tuple[Any, ...], bytes] = {}
    make, key_of = kind.make, kind.key
    held = 0  # bytes

    def write(value: Any, put: Put) -> None:
        nonlocal held
        key = key_of(value)
        rendered = remembered.get(key)
        if rendered is None:
            parts: list[bytes] = []
            entry(make(value), parts.append)
            rendered = b"".join(parts)
            if held > MOST_REMEMBERED:  # the oldest half goes; what is still in use comes back
                for old in list(remembered)[: len(remembered) // 2]:
                    held -= len(remembered.pop(old, b""))
            remembered[key] = rendered
            held += len(rendered)
        put(rendered)

    return write
