"""Filters on values, before anything is rendered: ``*`` is any text, ``?`` any one character, ``\\`` takes either
literally.  Values of one filter are alternatives, filters must all hold; an unknown name is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import EllipsisType
from typing import TypeVar

from euca_rpc.errors import EucaError

from .errors import WireError
from .messages.places import Filter

T = TypeVar("T")
Part = str | EllipsisType | None
MOST_VALUES = 200  # EC2's own limit; each is compared with each row
Field = Callable[[T], Iterable[str | None]]


@lru_cache(maxsize=512)
def _parts(text: str) -> tuple[Part, ...]:
    """Single characters, None for any one of them, and ... for any text."""
    parts: list[Part] = []
    escape = False
    for char in text:
        if char == "\\" and not escape:
            escape = True
            continue
        if escape or char not in "*?":
            parts.append(char)
        else:
            parts.append(... if char == "*" else None)
        escape = False
    return tuple(parts)


def _like(text: str, parts: tuple[Part, ...]) -> bool:
    """Goes back to the last star only, which is enough: a regular expression would go back to all of them, and take
    hours over a hostile filter."""
    at = here = 0
    star = resume = -1
    while at < len(text):
        if here < len(parts) and parts[here] is ...:
            star, resume, here = here, at, here + 1
        elif here < len(parts) and (parts[here] is None or parts[here] == text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = resume, star + 1
        else:
            return False
    return all(part is ... for part in parts[here:])


Tags = Iterable[tuple[str, str]]


def matching(
    filters: Sequence[Filter],
    fields: Mapping[str, Field[T]],
    tags: Callable[[T], Tags] | None = None,
) -> Callable[[T], bool]:
    """A test for one value; with no filters it is always true.  ``tags`` are those of a value, if it may have any."""
    if sum(len(wanted.values) for wanted in filters) > MOST_VALUES:
        raise WireError(
            "FilterLimitExceeded", f"At most {MOST_VALUES} filter values can be given in one request."
        )
    tests: list[tuple[Field[T], frozenset[str], tuple[tuple[Part, ...], ...]]] = []
    for wanted in filters:
        field = fields.get(wanted.name) or (_of_tags(wanted.name, tags) if tags is not None else None)
        if field is None:
            known = ", ".join([*sorted(fields), *(_TAG_FILTERS if tags is not None else ())])
            raise EucaError(
                "parameter_invalid", f"The filter {wanted.name[:100]!r} is invalid here; there are: {known}."
            )
        if any(len(value) > 255 for value in wanted.values):
            raise EucaError("parameter_invalid", f"A value of the filter {wanted.name!r} is too long.")
        exact = frozenset(value for value in wanted.values if not re.search(r"[*?\\]", value))
        tests.append((field, exact, tuple(_parts(value) for value in wanted.values if value not in exact)))

    def test(value: T) -> bool:
        for field, exact, patterns in tests:
            for has in field(value):
                if has is not None and (has in exact or any(_like(has, pattern) for pattern in patterns)):
                    break
            else:
                return False
        return True

    return test


_TAG_FILTERS = ("tag:KEY", "tag-key", "tag-value")


def _of_tags(name: str, tags: Callable[[T], Tags]) -> Field[T] | None:
    if name.startswith("tag:"):
        wanted = name[4:]
        return lambda it: (value for key, value in tags(it) if key == wanted)
    if name == "tag-key":
        return lambda it: (key for key, _ in tags(it))
    if name == "tag-value":
        return lambda it: (value for _, value in tags(it))
    return None
