"""How a message is written on the wire, said on its fields.

    parameters ──parsing──────► request message ──operation──► answer message ──rendering──► XML bytes
    elements ────soap_parsing──►

A message is a frozen dataclass whose fields stand in the WSDL's order and carry a `Wire` each: the name, the kind, and
since or until which version it exists.  Versions are any date a client likes, so an *era* (the stretch between two
dates at which some field changes) is what answers are compiled for.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from enum import Enum, auto
from typing import Any, Final


class Kind(Enum):
    """Of a single value."""

    TEXT = auto()
    INTEGER = auto()
    FLAG = auto()
    BASE64 = auto()  # bytes
    MOMENT = auto()  # microseconds, written as EC2 writes moments


TEXT: Final = Kind.TEXT
INTEGER: Final = Kind.INTEGER
FLAG: Final = Kind.FLAG
BASE64: Final = Kind.BASE64
MOMENT: Final = Kind.MOMENT


@dataclass(frozen=True, slots=True)
class Wire:
    name: str
    kind: Any
    since: str = ""
    until: str = ""
    aliases: tuple[str, ...] = ()
    soap: str = ""  # the elements' names, from the outside in; a list's ``item`` is left out
    ignored: bool = False  # a parameter that is accepted, and has no meaning here


# ------------------------------------------------------------------------------------------------ requests
@dataclass(frozen=True, slots=True)
class Numbered:
    """``Name.1``, ``Name.2`` …: texts, or structures if there is a class."""

    of: type[Any] | None = None


TEXTS = Numbered()


@dataclass(frozen=True, slots=True)
class Named:
    """One word of a few: a text in the Query API, in SOAP the name of an empty element."""

    words: tuple[str, ...]


def param(
    name: str,
    kind: Any = TEXT,
    default: Any = MISSING,
    *,
    aliases: tuple[str, ...] = (),
    soap: str = "",
    ignored: bool = False,
    **more: Any,
) -> Any:
    """A parameter; without a default it must be given.  Lists are empty unless given, and are in SOAP only if they are
    named there."""
    if isinstance(kind, Numbered) and default is MISSING:
        default = ()
    return dataclasses.field(
        default=default,
        metadata={"wire": Wire(name, kind, aliases=aliases, soap=soap, ignored=ignored)},
        **more,
    )


def needed(name: str, kind: Numbered = TEXTS, *, soap: str) -> Any:
    """A list that must have at least one entry."""
    return dataclasses.field(metadata={"wire": Wire(name, kind, soap=soap)})


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
