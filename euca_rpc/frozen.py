"""Frozen dataclasses with slots, made and changed at a fraction of the cost.

What costs in a frozen class's constructor is that it goes round its own lock for each field.  Here a new value is filled
while it is of a twin class, that has the same slots and is not frozen, and then is told its class: Python allows that
between classes of the same slots.  A machine's row, of 45 fields, changes some ten times between its launch and its end,
and a placement looks at dozens of targets, so this is a measurable part of both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar, cast

R = TypeVar("R")


def quick(kind: type[R]) -> type[R]:
    """Decorate a frozen dataclass with slots: it is the same, with a quicker constructor.  For what is made with each
    launch or placement: a class costs a tenth of a millisecond when it is defined.  TypeError: it is no such class."""
    _names(kind)
    scope: dict[str, Any] = {  # in capitals: the fields' own names are beside them
        "KIND": kind,
        "TWIN": _twin(cast("Hashable", kind)),
        "BECOME": object.__setattr__,
        "MISSING": MISSING,
        "AFTER": getattr(kind, "__post_init__", None),
    }
    given, lines = [], []
    for field in fields(cast(Any, kind)):
        name = field.name
        if field.kw_only:
            raise TypeError(f"{kind.__name__}.{name} is no plain field")
        if not field.init:
            continue  # `__post_init__` fills it
        value = name
        if field.default_factory is not MISSING:
            scope[f"MAKE_{name}"] = field.default_factory
            given.append(f"{name}=MISSING")
            value = f"MAKE_{name}() if {name} is MISSING else {name}"
        elif field.default is not MISSING:
            scope[f"USUAL_{name}"] = field.default
            given.append(f"{name}=USUAL_{name}")
        else:
            given.append(name)
        lines.append(f"        self.{name} = {value}")
    source = f"""
def define({", ".join(scope)}):
    def __init__(self, {", ".join(given)}):
        BECOME(self, "__class__", TWIN)
{chr(10).join(lines)}
        self.__class__ = KIND
{"        AFTER(self)" if scope["AFTER"] else ""}
    return __init__
"""
    made: Any = _defined(source, kind)(**scope)
    plain: Any = kind
    made.__annotations__, made.__qualname__ = plain.__init__.__annotations__, plain.__init__.__qualname__
    plain.__init__ = made
    return kind


def changed(row: R, **new: Any) -> R:
    """`dataclasses.replace`.  KeyError: the row has no such field.  TypeError: as of `quick`."""
    return cast(R, _changer(cast("Hashable", type(row)))(row, new))


@cache
def _changer(kind: Any) -> Callable[[Any, Mapping[str, Any]], Any]:
    names = _names(kind)
    if hasattr(kind, "__post_init__"):
        raise TypeError(f"a {kind.__name__} is more than its fields: it cannot be copied field by field")
    copied = "\n".join(f"        made.{name} = row.{name}" for name in names)
    source = f"""
def define(kind, twin, known):
    def changer(row, new):
        made = twin()
{copied}
        for name in new:
            if name not in known:
                raise KeyError(name)
            setattr(made, name, new[name])
        made.__class__ = kind
        return made
    return changer
"""
    made = _defined(source, kind)(kind, _twin(kind), frozenset(names))
    return cast("Callable[[Any, Mapping[str, Any]], Any]", made)


def _names(kind: Any) -> list[str]:
    names = [f.name for f in fields(kind)]
    if list(getattr(kind, "__slots__", ())) != names or kind.__bases__ != (object,):
        raise TypeError(f"{kind.__name__} has not one slot for each field and nothing else")
    return names


@cache
def _twin(kind: Hashable) -> type:
    k: Any = kind
    return type(k.__name__, (), {"__slots__": k.__slots__, "__module__": k.__module__})


def _defined(source: str, kind: type) -> Callable[..., Any]:
    """As dataclasses makes its constructors: of the class's own field names, in its own module."""
    made: dict[str, Any] = {}
    exec(source, sys.modules[kind.__module__].__dict__, made)  # noqa: S102
    return cast("Callable[..., Any]", made["define"])
