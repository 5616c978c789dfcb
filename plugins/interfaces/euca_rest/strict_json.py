"""JSON that means one thing only: UTF-8, no name twice, no NaN, no number that is none of ours, not too deep."""

from __future__ import annotations

import json
import re
from typing import Any

from euca_rpc.errors import EucaError

DEEPEST = 8  # the shapes need three
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MARK = re.compile(r"[\[\]{}]")


def loads(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _wrong(f"is not UTF-8, at byte {error.start}") from None
    depth = 0
    for mark in _MARK.findall(_STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > DEEPEST:
            raise _wrong(f"is nested deeper than {DEEPEST}")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_int)
    except json.JSONDecodeError as error:
        raise _wrong(f"is no JSON: {error.msg} at character {error.pos}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _wrong(f"has the field {twice[:60]!a} twice")
    return found


def _no_constant(name: str) -> Any:
    raise _wrong(f"has {name}, which is no JSON")


def _int(digits: str) -> int:
    if len(digits) > 18:
        raise _wrong(f"has a number of {len(digits)} digits")
    return int(digits)


def _wrong(why: str) -> EucaError:
    return EucaError("parameter_invalid", f"The body {why}.", facts={"at": "body"})
