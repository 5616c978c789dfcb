"""Elements of SOAP requests become the same messages that the Query API's parameters become.

A parameter is spelt in SOAP as its field says (`Wire.soap`), and without that as in the Query API with small first
letters, `Placement.AvailabilityZone` as `placement/availabilityZone`.  Each class is compiled once into a closure over
the element that the verifier gave out.  What is not known is refused by name, unless it is empty and so asks for
nothing: some tools send every element of the schema.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from functools import cache
from typing import Any, TypeVar

from lxml import etree

from euca_rpc.errors import EucaError

from .fields import Kind, Named, Numbered, Wire
from .parsing import MOST_IN_LIST, READ

M = TypeVar("M")
Read = Callable[[Any, str], Any]  # element, its path for sentences → value
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_USER_DATA = {"version": "1.0", "encoding": "base64"}  # fixed by the schema


@dataclasses.dataclass(slots=True)
class _Names:
    """The children that an element may have: each is a value, or has children itself."""

    values: dict[str, tuple[str, Read]] = dataclasses.field(default_factory=dict)
    inner: dict[str, _Names] = dataclasses.field(default_factory=dict)


@cache
def reader(message: type[M]) -> Callable[[Any], M]:
    names, required = _Names(), []
    for field in dataclasses.fields(message):  # type: ignore[arg-type]
        wire: Wire = field.metadata["wire"]
        spelt = soap_name(wire)
        if spelt is None:
            continue
        if field.default is MISSING:
            required.append((field.name, spelt))
        if isinstance(wire.kind, Named):
            names.values |= {word: (field.name, _word(word)) for word in wire.kind.words}
            continue
        *path, last = spelt.split("/")
        read_value = _scalar(wire.kind) if isinstance(wire.kind, Kind) else _list("", wire.kind.of)
        if isinstance(wire.kind, Numbered) and wire.kind.of is None:
            read_value = _list(last, None)
            *path, last = path
        at = names
        for part in path:
            at = at.inner.setdefault(part, _Names())
        at.values[last] = field.name, read_value

    def read(element: Any) -> M:
        values: dict[str, Any] = {}
        _gather(element, names, values, "")
        for target, spelt in required:
            if target not in values:
                raise EucaError("parameter_missing", f"The request must contain the element {spelt}.")
        return message(**values)

    return read


def soap_name(wire: Wire) -> str | None:
    """None if SOAP does not have the parameter."""
    if wire.soap or isinstance(wire.kind, Numbered):
        return wire.soap or None
    return "/".join(part[:1].lower() + part[1:] for part in wire.name.split("."))


def _gather(element: Any, names: _Names, values: dict[str, Any], path: str) -> None:
    for name, child in _named(element, path):
        where = f"{path}{name}"
        found = names.values.get(name)
        inner = names.inner.get(name)
        if found is not None:
            target, read = found
            if target in values:
                raise _twice(where)
            values[target] = read(child, where)
        elif inner is not None:
            _gather(child, inner, values, f"{where}/")
        elif len(child) or (child.text or "").strip():
            raise EucaError("parameter_unknown", f"The element {where[:200]} is not recognized.")


def _named(element: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The children by their names; their namespace is the element's, which the verifier has seen to."""
    if (element.text or "").strip():
        raise EucaError(
            "parameter_invalid", f"There is text in {path or 'the request'} between its elements."
        )
    for child in element:
        if (child.tail or "").strip():
            raise EucaError(
                "parameter_invalid", f"There is text in {path or 'the request'} after an element."
            )
        name = etree.QName(child).localname
        _attributes(child, f"{path}{name}")
        yield name, child


def _attributes(element: Any, where: str) -> None:
    for name, value in element.attrib.items():
        if name.startswith(_XSI):
            continue
        if not where.endswith("userData") or _USER_DATA.get(name) != value:
            raise EucaError(
                "parameter_unknown", f"The attribute {name[:100]} of {where[:200]} is not recognized."
            )


def _scalar(kind: Kind) -> Read:
    convert = READ[kind]
    collapse = kind is not Kind.TEXT

    def read(element: Any, where: str) -> Any:
        if len(element):
            raise EucaError("parameter_invalid", f"The element {where} must hold a text, not elements.")
        text = element.text or ""
        if collapse:
            text = text.strip()
            if kind is Kind.FLAG:
                text = _NUMBERS.get(text, text)
        return convert(where, text)

    return read


_NUMBERS = {"1": "true", "0": "false"}  # as XML Schema also writes them


def _word(word: str) -> Read:
    def read(element: Any, where: str) -> str:
        if len(element) or (element.text or "").strip():
            raise EucaError("parameter_invalid", f"The element {where} must be empty.")
        return word

    return read


def _list(entry: str, of: type[Any] | None) -> Read:
    """``<set><item>…</item></set>``; an item holds one text element, or a structure."""
    inside: Callable[[Any], Any] | None = reader(of) if of else None  # type: ignore[arg-type]
    text = _scalar(Kind.TEXT)

    def read(element: Any, where: str) -> tuple[Any, ...]:
        if len(element) > MOST_IN_LIST:
            raise EucaError(
                "parameter_invalid",
                f"{where} lists {len(element)} entries; at most {MOST_IN_LIST} are allowed.",
            )
        return tuple(one(item, f"{where}/item") for item in items(element, where))

    def items(element: Any, where: str) -> Iterator[Any]:
        for name, item in _named(element, f"{where}/"):
            if name != "item":
                raise EucaError("parameter_unknown", f"The element {where}/{name[:100]} is not recognized.")
            yield item

    def one(item: Any, where: str) -> Any:
        if inside is not None:
            return inside(item)
        found = None
        for name, child in _named(item, f"{where}/"):
            if name != entry:
                raise EucaError("parameter_unknown", f"The element {where}/{name[:100]} is not recognized.")
            if found is not None:
                raise _twice(f"{where}/{name}")
            found = text(child, f"{where}/{name}")
        if found is None:
            raise EucaError("parameter_missing", f"The request must contain the element {where}/{entry}.")
        return found

    return read


def _twice(where: str) -> EucaError:
    return EucaError("parameter_conflict", f"The element {where} is given more than once.")
