"""Signature version 1 signs names and values in a row, with nothing between them: what can be done about it.

Whoever has seen one signed request can draw the borders elsewhere, and the signature still fits: `ClientToken=a` and
`DryRun=true` are the same row as `ClientToken=aDryRuntrue`, `Value.1=2` the same as `Value.12=`.  Refused here is what
such a request looks like: a value with the name of another parameter in it, a list that is not numbered 1, 2, 3 ….
What cannot be told is a row whose *owner* signed a value that holds a name, and somebody then took it apart; so
version 1 remains off unless the settings want it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from euca_rpc.errors import EucaError

from .fields import Numbered
from .signing import NOT_VALIDATED


def check(parameters: Mapping[str, str], message: type[Any]) -> None:
    """Refuses what may be a row with other borders than its owner drew, like any wrong signature."""
    why = two_readings(parameters, message)
    if why:
        raise EucaError("auth_failure", NOT_VALIDATED, private=f"version 1, and {why}")


def two_readings(parameters: Mapping[str, str], message: type[Any]) -> str:
    """The sign of it, or "".  ``message`` is the class that the parameters are for."""
    names = _names(message)
    for name, value in parameters.items():
        found = names.search(value)
        if found is not None:
            return f"the value of {name[:40]!r} holds the name {found[0][:40]!r}"
    for name, numbers in _numbers(parameters).items():
        if numbers != set(range(1, len(numbers) + 1)):
            return f"the list {name[:40]!r} is not numbered from 1 on"
    return ""


@cache
def _names(message: type[Any]) -> re.Pattern[str]:
    found = []
    for field in dataclasses.fields(message):
        wire = field.metadata["wire"]
        for name in (wire.name, *wire.aliases):
            found.append(re.escape(name) + (r"\.\d" if isinstance(wire.kind, Numbered) else ""))
    return re.compile("|".join(found) or r"(?!)")


def _numbers(parameters: Mapping[str, str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name in parameters:
        parts = name.split(".")
        for at, part in enumerate(parts):
            if part.isdecimal():
                found.setdefault(".".join(parts[:at]), set()).add(int(part))
    return found
