"""One description of a JSON document, used three ways: to read it, to show it, and to publish its schema.

A shape is a frozen dataclass.  Its hints may be str, int, bool, bytes (base64 in JSON), Literal, X | None,
tuple[X, ...], Mapping[str, X], another shape, and Annotated[one of these, Rule(…)].  A field with a default may be left
out.  Reading is strict: no coercion, nothing unknown, nothing twice; a refusal names the place, and for an unknown field
the nearest one that exists.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from euca_rpc.errors import EucaError


@dataclass(frozen=True, slots=True)
class Rule:
    """What a type does not say.  ``least`` and ``most`` bound a number, or the length of anything else."""

    about: str = ""
    least: int | None = None
    most: int | None = None
    pattern: str | None = None
    format: str | None = None
    example: Any = None
    private: bool = False  # a refusal does not repeat it


LARGEST: Final = 2**31 - 1
_NONE: Final = Rule()
_WORDS: Final = {str: "a string", int: "a whole number", bool: "true or false", bytes: "a base64 string"}


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    hint: Any
    default: Any
    required: bool


@cache
def members(shape: type) -> tuple[Member, ...]:
    hints = get_type_hints(shape, include_extras=True)
    return tuple(
        Member(f.name, hints[f.name], f.default, f.default is MISSING and f.default_factory is MISSING)
        for f in dataclasses.fields(shape)
    )


def parted(hint: Any) -> tuple[Any, Rule]:
    if get_origin(hint) is Annotated:
        inner, rule = get_args(hint)
        return inner, rule
    return hint, _NONE


def optional_of(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (types.UnionType, Union):  # X | None is the latter if X is Annotated
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return inner, True
    return hint, False


# --------------------------------------------------------------------------------------------------- reading
def read(hint: Any, value: Any, at: str) -> Any:
    """The typed value, or a refusal that names the place ``at``."""
    hint, rule = parted(hint)
    inner, optional = optional_of(hint)
    if inner is not hint:
        if value is None and optional:
            return None
        return _ruled(read(inner, value, at), rule, at)
    if is_dataclass(inner):
        return _read_shape(inner, value, at)  # type: ignore[arg-type]
    origin = get_origin(inner)
    if origin is Literal:
        if value not in get_args(inner) or type(value) is not str:
            raise _wrong(at, f"must be one of {', '.join(map(repr, get_args(inner)))}", value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(at, "must be an array", value)
        return _ruled(
            tuple(read(get_args(inner)[0], one, f"{at}[{n}]") for n, one in enumerate(value)), rule, at
        )
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(at, "must be an object", value)
        _ruled(value, rule, at)
        of = get_args(inner)[1]
        return {read(str, name, at): read(of, one, f"{at}.{name[:40]}") for name, one in value.items()}
    if inner is bytes:
        return _ruled(_base64(value, at), rule, at)
    if type(value) is not inner:  # bool is an int to isinstance, and is not one here
        raise _wrong(at, f"must be {_WORDS[inner]}", value)
    if inner is str:
        _encodable(value, at)
    return _ruled(value, rule, at)


def _read_shape(shape: type, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(at, "must be an object", value)
    known = {member.name: member for member in members(shape)}
    for name in value:
        if name not in known:
            raise unknown(name, list(known), "field", at)
    for member in known.values():
        if member.required and member.name not in value:
            raise EucaError(
                "parameter_missing",
                f"{at} must have the field {member.name!r}.",
                facts={"at": f"{at}.{member.name}"},
            )
    return shape(**{name: read(known[name].hint, one, f"{at}.{name}") for name, one in value.items()})


def unknown(name: str, known: list[str], what: str, at: str) -> EucaError:
    near = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known) or 'none'}."
    return EucaError(
        "parameter_unknown",
        f"{at} has no {what} {_shown(name)}. {hint}",
        facts={"at": at, "nearest": near[0] if near else ""},
    )


def _encodable(text: str, at: str) -> None:
    """Half of a surrogate pair is JSON, but no text that anything can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EucaError("parameter_invalid", f"{at} is not valid Unicode.", facts={"at": at}) from None


def _base64(value: Any, at: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong(at, "must be a base64 string", value)
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _wrong(at, "must be a base64 string", value) from None


def _ruled(value: Any, rule: Rule, at: str) -> Any:
    if isinstance(value, bool) or is_dataclass(value):
        return value  # nothing to measure
    size, of = (value, "") if type(value) is int else (len(value), " long")
    least = rule.least if rule.least is not None else -LARGEST
    most = rule.most if rule.most is not None else LARGEST
    why = ""
    if size < least:
        why = f"must be at least {least}{of}"
    elif size > most:
        why = f"must be at most {most}{of}"
    elif rule.pattern and not re.fullmatch(rule.pattern.removeprefix("^").removesuffix("$"), value):
        why = f"must match {rule.pattern}"
    if why:
        raise _wrong(at, why, value.encode() if rule.private else value)  # of bytes the number is shown
    return value


def _wrong(at: str, why: str, value: Any) -> EucaError:
    return EucaError("parameter_invalid", f"{at} {why}, not {_shown(value)}.", facts={"at": at})


def _shown(value: Any) -> str:
    """Enough of it to find it again; ``ascii`` because it may be no valid Unicode."""
    if isinstance(value, dict | list | tuple | bytes):
        return {dict: "an object", list: "an array", tuple: f"{len(value)}", bytes: f"{len(value)} bytes"}[
            type(value)
        ]
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


# --------------------------------------------------------------------------------------------------- showing
def shown(value: Any) -> Any:
    """What `json.dumps` takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: shown(getattr(value, member.name)) for member in members(type(value))}
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    if isinstance(value, Mapping):
        return {name: shown(one) for name, one in value.items()}
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


# ------------------------------------------------------------------------------------------------ publishing
def schema(hint: Any, found: dict[str, Any], *, answer: bool = False) -> dict[str, Any]:
    """JSON Schema; shapes are put into ``found`` by name and referred to.  An ``answer`` has all of its fields."""
    inner, rule = parted(hint)
    plain, optional = optional_of(inner)
    if optional and get_origin(plain) is Annotated:
        inner_schema = schema(plain, found, answer=answer)
    else:
        inner_schema = _plain_schema(plain, rule, found, answer)
    if optional:
        inner_schema = _or_null(inner_schema)
    if rule.about:
        inner_schema["description"] = rule.about
    if rule.example is not None:
        inner_schema["examples"] = [rule.example]
    return inner_schema


def _or_null(inner: dict[str, Any]) -> dict[str, Any]:
    if "type" not in inner:
        return {"oneOf": [inner, {"type": "null"}]}
    inner = {**inner, "type": [inner["type"], "null"]}
    if "enum" in inner:
        inner["enum"] = [*inner["enum"], None]
    return inner


def _plain_schema(hint: Any, rule: Rule, found: dict[str, Any], answer: bool) -> dict[str, Any]:
    if is_dataclass(hint):
        return {"$ref": f"#/components/schemas/{_published(hint, found, answer)}"}  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if origin is tuple:
        of = schema(get_args(hint)[0], found, answer=answer)
        return _bounded({"type": "array", "items": of}, rule, "minItems", "maxItems")
    if origin is Mapping:
        of = schema(get_args(hint)[1], found, answer=answer)
        return _bounded(
            {"type": "object", "additionalProperties": of}, rule, "minProperties", "maxProperties"
        )
    if hint is int:
        least = {} if rule.least is not None else {"minimum": -LARGEST}
        most = {} if rule.most is not None else {"maximum": LARGEST}
        return _bounded({"type": "integer", **least, **most}, rule, "minimum", "maximum")
    if hint is bool:
        return {"type": "boolean"}
    if hint is bytes:
        longest = {} if rule.most is None else {"maxLength": -(-rule.most // 3) * 4}
        return {"type": "string", "contentEncoding": "base64", **longest}
    made = _bounded({"type": "string"}, rule, "minLength", "maxLength")
    if rule.pattern is not None:
        made["pattern"] = rule.pattern
    if rule.format is not None:
        made["format"] = rule.format
    return made


def _bounded(made: dict[str, Any], rule: Rule, least: str, most: str) -> dict[str, Any]:
    if rule.least is not None:
        made[least] = rule.least
    if rule.most is not None:
        made[most] = rule.most
    return made


def _published(shape: type, found: dict[str, Any], answer: bool) -> str:
    name = shape.__name__
    if name not in found:
        found[name] = {}
        made: dict[str, Any] = {
            "type": "object",
            "description": (shape.__doc__ or "").strip(),
            "properties": {m.name: schema(m.hint, found, answer=answer) for m in members(shape)},
            "additionalProperties": False,
        }
        required = [m.name for m in members(shape) if m.required or answer]
        if required:
            made["required"] = required
        found[name] = made
    return name
