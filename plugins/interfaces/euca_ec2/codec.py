"""Messages on the wire: dataclasses with wire names, compiled once into closures.

    parameters --parser(Class)--> request message --operation--> answer message --renderer(Class, era)--> XML bytes

A message is a frozen dataclass whose fields stand in the WSDL's order and carry a `Wire` each: the name, the kind, and
since or until which version it exists.  Versions are any date a client likes, so an *era* (the stretch between two
dates at which some field changes) is what a renderer is compiled for.

Parsing refuses by name what it does not know, and guesses no types.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, TypeVar

from euca_rpc.clock import iso
from euca_rpc.errors import EucaError

M = TypeVar("M")
Put = Callable[[bytes], None]
Emit = Callable[[Any, Put], None]
MOST_IN_LIST = 1000
MOST_REMEMBERED = 20_000  # rendered machines per era; about 1.5 kB each


@dataclass(frozen=True, slots=True)
class Wire:
    name: str
    kind: Any
    since: str = ""
    until: str = ""
    aliases: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ requests
def _text(name: str, value: str) -> str:
    return value


def _integer(name: str, value: str) -> int:
    if re.fullmatch(r"-?\d{1,9}", value, re.ASCII) is None:
        raise EucaError("parameter_invalid", f"Value ({value[:100]}) for parameter {name} is not an integer.")
    return int(value)


def _flag(name: str, value: str) -> bool:
    low = value.lower()
    if low not in ("true", "false"):
        raise EucaError(
            "parameter_invalid", f"Value ({value[:100]}) for parameter {name} is neither true nor false."
        )
    return low == "true"


def _base64(name: str, value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise EucaError("parameter_invalid", f"The value of parameter {name} is not base64.") from None


TEXT, INTEGER, FLAG, BASE64 = _text, _integer, _flag, _base64


@dataclass(frozen=True, slots=True)
class Numbered:
    """``Name.1``, ``Name.2`` …: texts, or structures if there is a class."""

    of: type[Any] | None = None


TEXTS = Numbered()


def param(
    name: str, kind: Any = TEXT, default: Any = MISSING, *, aliases: tuple[str, ...] = (), **more: Any
) -> Any:
    """A parameter; without a default it must be given.  Lists are empty unless given."""
    if isinstance(kind, Numbered) and default is MISSING:
        default = ()
    return dataclasses.field(default=default, metadata={"wire": Wire(name, kind, aliases=aliases)}, **more)


def needed(name: str) -> Any:
    """A list that must have at least one entry."""
    return dataclasses.field(metadata={"wire": Wire(name, TEXTS)})


@cache
def parser(message: type[M]) -> Callable[[dict[str, str]], M]:
    scalars: dict[str, tuple[str, Callable[[str, str], Any]]] = {}
    lists: dict[str, tuple[str, Callable[[dict[str, str]], Any] | None]] = {}
    required: list[tuple[str, str]] = []
    for field in dataclasses.fields(message):  # type: ignore[arg-type]
        wire: Wire = field.metadata["wire"]
        if field.default is MISSING:
            required.append((field.name, wire.name + (".1" if isinstance(wire.kind, Numbered) else "")))
        for name in (wire.name, *wire.aliases):
            if isinstance(wire.kind, Numbered):
                lists[name] = (field.name, parser(wire.kind.of) if wire.kind.of else None)  # type: ignore[arg-type]
            else:
                scalars[name] = (field.name, wire.kind)

    def parse(parameters: dict[str, str]) -> M:
        values: dict[str, Any] = {}
        gathered: dict[str, dict[str, str]] | None = None
        for name, value in parameters.items():
            scalar = scalars.get(name)
            if scalar is not None:
                if scalar[0] in values:
                    raise EucaError("parameter_conflict", f"The parameter {name} is given in two spellings.")
                values[scalar[0]] = scalar[1](name, value)
                continue
            head, _, tail = name.partition(".")
            if head not in lists or not tail:
                raise EucaError("parameter_unknown", f"The parameter {name[:200]} is not recognized.")
            if gathered is None:
                gathered = {}
            gathered.setdefault(head, {})[tail] = value
        for head, entries in (gathered or {}).items():
            target, sub = lists[head]
            found = _numbered(head, entries, sub)
            values[target] = (*values[target], *found) if target in values else found
        for target, spelt in required:
            if target not in values:
                raise EucaError("parameter_missing", f"The request must contain the parameter {spelt}.")
        return message(**values)

    return parse


def _numbered(
    head: str, entries: dict[str, str], sub: Callable[[dict[str, str]], Any] | None
) -> tuple[Any, ...]:
    rows: dict[int, Any] = {}
    for tail, value in entries.items():
        number, dot, rest = tail.partition(".")
        if re.fullmatch(r"[1-9]\d{0,4}", number, re.ASCII) is None or bool(dot) != (sub is not None):
            raise EucaError("parameter_unknown", f"The parameter {head}.{tail[:200]} is not recognized.")
        if sub is None:
            rows[int(number)] = value
        else:
            rows.setdefault(int(number), {})[rest] = value
    if len(rows) > MOST_IN_LIST:
        raise EucaError(
            "parameter_invalid", f"{head} lists {len(rows)} entries; at most {MOST_IN_LIST} are allowed."
        )
    ordered = [rows[number] for number in sorted(rows)]
    if sub is None:
        return tuple(ordered)
    try:
        return tuple(sub(row) for row in ordered)
    except EucaError as error:
        raise EucaError(error.symbol, f"In {head}: {error.sentence}") from None


# ------------------------------------------------------------------------------------------------- answers
@dataclass(frozen=True, slots=True)
class Struct:
    of: type[Any]


@dataclass(frozen=True, slots=True)
class Items:
    """A list element with one child element per entry: structures of a class, or texts."""

    of: type[Any] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Like Items, but the entries are the core's own values: ``key`` names the rendered bytes of one, ``make`` builds
    the message when they are not at hand.  This is what makes a list of a thousand machines cheap."""

    of: type[Any]
    make: Callable[[Any], Any]
    key: Callable[[Any], tuple[Any, ...]]


MOMENT = object()  # microseconds, written as EC2 writes moments


# Every date at which an answer's field appears or goes.
ERAS = (
    "2008-02-01",  # placement, kernels and ramdisks
    "2008-12-01",  # requestId, regionName
    "2009-04-04",  # monitoring
    "2009-08-15",  # messageSet, addresses
    "2009-10-31",  # stateReason, currentState, block devices
    "2010-06-15",
    "2010-08-31",  # tags, client tokens
    "2011-01-01",  # groups with id and name
    "2016-11-15",
)


def era_of(version: str) -> str:
    """The last date not after ``version`` at which any field changed."""
    at = bisect_right(ERAS, version)
    return ERAS[at - 1] if at else ""


def out(name: str, kind: Any = TEXT, *, since: str = "", until: str = "", default: Any = MISSING) -> Any:
    """An element of an answer.  None leaves it out, an empty text is an empty element."""
    if any(date and date not in ERAS for date in (since, until)):
        raise ValueError(f"{name}: {since or until} is not in ERAS")
    return dataclasses.field(default=default, metadata={"wire": Wire(name, kind, since, until)})


_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile("[&<>\r]")


def escaped(text: str) -> str:
    """Fit for an element's content; what XML cannot carry at all becomes U+FFFD."""
    if _ILLEGAL.search(text):
        text = _ILLEGAL.sub("\ufffd", text)
    if _SPECIAL.search(text):
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return text


_SIMPLE: dict[Any, Callable[[Any], str]] = {
    TEXT: escaped,
    INTEGER: str,
    FLAG: lambda value: "true" if value else "false",
    BASE64: lambda value: base64.b64encode(value).decode(),
    MOMENT: iso,
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
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}Response'
            f' xmlns="http://ec2.amazonaws.com/doc/{version}/">'.encode()
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
            return _listing(wire.name, self._element(Wire("item", Struct(kind.of) if kind.of else TEXT), era))
        if isinstance(kind, Made):
            return _listing(wire.name, _remembering(kind, self._element(Wire("item", Struct(kind.of)), era)))
        return _simple(wire.name, _SIMPLE[kind])


def _simple(name: str, spell: Callable[[Any], str]) -> Emit:
    before, after, empty = f"<{name}>", f"</{name}>", f"<{name}/>".encode()

    def write(value: Any, put: Put) -> None:
        text = spell(value)
        put(f"{before}{text}{after}".encode() if text else empty)

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

    def write(value: Any, put: Put) -> None:
        key = key_of(value)
        rendered = remembered.get(key)
        if rendered is None:
            parts: list[bytes] = []
            entry(make(value), parts.append)
            rendered = b"".join(parts)
            if len(remembered) >= MOST_REMEMBERED:  # the oldest half goes; what is still in use comes back
                for old in list(remembered)[: MOST_REMEMBERED // 2]:
                    remembered.pop(old, None)
            remembered[key] = rendered
        put(rendered)

    return write
