"""Parameters of the Query API become request messages; each class is compiled once into a closure.

What is not known is refused by name, what is missing too, and no types are guessed.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable
from dataclasses import MISSING
from functools import cache
from typing import Any, TypeVar

from euca_rpc.errors import EucaError

from .fields import Kind, Named, Numbered, Wire

M = TypeVar("M")
MOST_IN_LIST = 1000


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
                scalars[name] = (field.name, read_of(wire.kind))

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
            if head not in lists:  # a list inside a structure, such as LaunchPermission.Add.1
                inner, _, tail = tail.partition(".")
                head = f"{head}.{inner}"
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


def read_of(kind: Kind | Named) -> Callable[[str, str], Any]:
    if isinstance(kind, Kind):
        return READ[kind]

    def one_of(name: str, value: str) -> str:
        if value not in kind.words:
            known = ", ".join(kind.words)
            raise EucaError("parameter_invalid", f"{name} is {value[:100]!r}; it must be one of: {known}.")
        return value

    return one_of


READ: dict[Kind, Callable[[str, str], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.FLAG: _flag,
    Kind.BASE64: _base64,
}
