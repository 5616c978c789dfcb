"""Dataclasses to plain values and back, by the types that the fields declare.

    pack(MachineSpec(…))  ─►  {"instance_id": "i-…", "image": {…}, "user_data": b"…"}  ─►  unpack(MachineSpec, …)

Only str-keyed mappings, lists, str, int, float, bool, bytes and None cross the wire.  Contracts only grow: a field that
this code does not know is ignored and counted, one that the peer does not send takes its default, and only a field
without a default can be missing.  Readers are compiled once for each class.  A refusal names the field, never its value.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from euca_rpc.errors import EucaError

T = TypeVar("T")
Reader = Callable[[Any, str], Any]  # (wire value, where it stands) → value
Writer = Callable[[Any], Any]

DEPTH = 32  # nested values; the deepest of our own has four

_unknown = 0
_unknown_lock = threading.Lock()


def unknown_fields() -> int:
    """How many fields were ignored since the process began: a newer peer is talking to us."""
    return _unknown


# -------------------------------------------------------------------------------------------------- packing
def pack(value: Any) -> Any:
    """The plain value of a dataclass, or of a list, tuple or mapping of them."""
    return _pack(value, DEPTH)


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth <= 0:
        raise EucaError("parameter_invalid", f"a value nested more than {DEPTH} deep cannot cross the wire")
    fields_of = _fields_of(kind)  # type: ignore[arg-type]
    if fields_of is not None:
        names, values = fields_of
        return {
            name: item if type(item) in _PLAIN else _pack(item, depth - 1)
            for name, item in zip(names, values(value), strict=True)
        }
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, list | tuple):
        return [_pack(item, depth - 1) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise EucaError(
                    "parameter_invalid",
                    f"a mapping with a key of type {type(key).__name__} cannot cross the wire",
                )
        return {str(key): _pack(item, depth - 1) for key, item in value.items()}
    raise EucaError("parameter_invalid", f"a value of type {kind.__name__} cannot cross the wire")


_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


@cache
def _fields_of(cls: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """Their names, and what gets the values of all; None: it is no dataclass."""
    if not is_dataclass(cls):
        return None
    names = tuple(field.name for field in fields(cls))
    if len(names) < 2:  # `attrgetter` answers a tuple from two on
        return names, lambda value: tuple([getattr(value, name) for name in names])
    return names, attrgetter(*names)


# ------------------------------------------------------------------------------------------------ unpacking
def unpack(cls: type[T], wire: Any) -> T:
    """An instance of the dataclass ``cls``."""
    reader: Reader = _reader_of_class(cls)  # type: ignore[arg-type]
    value: T = reader(wire, cls.__name__)
    return value


def _refuse(where: str, wanted: str, value: Any) -> EucaError:
    return EucaError(
        "parameter_invalid", f"{where} must be {wanted}, not {type(value).__name__}", facts={"field": where}
    )


@cache
def _reader_of_class(cls: type) -> Reader:
    if not is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass")
    hints = get_type_hints(cls)
    readers = {field.name: _reader(hints[field.name]) for field in fields(cls) if field.init}
    as_it_is = {name: hints[name] for name in readers if hints[name] in _WORDS}  # most are of a plain type
    needed = [
        field.name
        for field in fields(cls)
        if field.init and field.default is MISSING and field.default_factory is MISSING
    ]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(where, "a mapping", value)
        known: dict[str, Any] = {}
        for name, item in value.items():
            if as_it_is.get(name) is type(item):
                known[name] = item
                continue
            reader = readers.get(name)
            if reader is None:
                _count_unknown()
            else:
                known[name] = reader(item, f"{where}.{name}")
        for name in needed:
            if name not in known:
                raise EucaError(
                    "parameter_missing", f"{where} lacks its field {name}", facts={"field": f"{where}.{name}"}
                )
        try:
            return cls(**known)
        except (TypeError, ValueError) as error:  # a check in __post_init__
            raise EucaError("parameter_invalid", f"{where}: {error}", facts={"field": where}) from None

    return read


def _count_unknown() -> None:
    global _unknown
    with _unknown_lock:
        _unknown += 1


def _reader(hint: Any) -> Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return _read_any
    if hint is None or hint is type(None):
        return _scalar(type(None), "nothing")
    if origin in (Union, types.UnionType):
        return _read_union([_reader(a) for a in arguments if a is not type(None)], type(None) in arguments)
    if origin in (tuple, list):
        return _read_sequence(origin, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _read_mapping(_reader(arguments[1]))
    if hint in _WORDS:
        return _scalar(hint, _WORDS[hint])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _read_enum(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return lambda value, where: _reader_of_class(hint)(value, where)
    raise TypeError(f"no reader for {hint!r}: it cannot cross the wire")


_WORDS: dict[type, str] = {
    str: "text",
    int: "an integer",
    bool: "true or false",
    bytes: "bytes",
    float: "a number",
}


def _scalar(kind: type, words: str) -> Reader:
    exact = (kind, int) if kind is float else (kind,)  # exact: true is not the number 1

    def read(value: Any, where: str) -> Any:
        if type(value) not in exact:
            raise _refuse(where, words, value)
        return value

    return read


def _read_any(value: Any, where: str) -> Any:
    return _pack(value, DEPTH)


def _read_union(readers: list[Reader], optional: bool) -> Reader:
    def read(value: Any, where: str) -> Any:
        if value is None and optional:
            return None
        for reader in readers[:-1]:
            try:
                return reader(value, where)
            except EucaError:
                continue
        return readers[-1](value, where)

    return read


def _read_sequence(kind: type, arguments: tuple[Any, ...]) -> Reader:
    if kind is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        each = _reader(arguments[0])

        def read(value: Any, where: str) -> Any:
            if not isinstance(value, list | tuple):
                raise _refuse(where, "a list", value)
            return kind(each(item, f"{where}[{index}]") for index, item in enumerate(value))

        return read
    readers = [_reader(argument) for argument in arguments]

    def read_fixed(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(readers):
            raise _refuse(where, f"a list of {len(readers)}", value)
        return tuple(
            reader(item, f"{where}[{index}]")
            for index, (reader, item) in enumerate(zip(readers, value, strict=True))
        )

    return read_fixed


def _read_mapping(each: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict) or not all(type(key) is str for key in value):
            raise _refuse(where, "a mapping with text keys", value)
        return {key: each(item, f"{where}[…]") for key, item in value.items()}

    return read


def _read_enum(kind: type[StrEnum]) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, str) or value not in kind._value2member_map_:
            raise EucaError(
                "parameter_invalid", f"{where} must be one of {', '.join(kind)}", facts={"field": where}
            )
        return kind(value)

    return read
