"""Query strings, read by a shape: each name once, but for arrays, whose values are repeated names."""

from __future__ import annotations

import re
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes

from euca_rpc.errors import EucaError

from .shapes import Member, members, optional_of, parted, read, unknown

MOST = 100  # pairs
_INT = re.compile(r"-?[0-9]{1,10}", re.ASCII)


def read_query(shape: type | None, query: str) -> Any:
    known = {member.name: member for member in members(shape)} if shape is not None else {}
    given: dict[str, list[str]] = {}
    pairs = query.split("&") if query else []
    if len(pairs) > MOST:
        raise EucaError("parameter_invalid", f"The query has {len(pairs)} parameters; {MOST} are enough.")
    for pair in pairs:
        name, _, value = pair.partition("=")
        name = _unquoted(name)
        if name not in known:
            raise unknown(name, list(known), "parameter", "query")
        given.setdefault(name, []).append(_unquoted(value))
    if shape is None:
        return None
    return shape(**{name: _typed(known[name], values) for name, values in given.items()})


def _typed(member: Member, values: list[str]) -> Any:
    at = f"query.{member.name}"
    hint = optional_of(parted(member.hint)[0])[0]
    if get_origin(hint) is tuple:
        return read(member.hint, values, at)
    if len(values) > 1:
        raise EucaError("parameter_invalid", f"{at} is given {len(values)} times.", facts={"at": at})
    value: Any = values[0]
    if hint is int and _INT.fullmatch(value):
        value = int(value)
    return read(member.hint, value, at)


def _unquoted(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise EucaError("parameter_invalid", f"The query's {text[:60]!a} is not UTF-8.") from None
