"""Filters on values, before anything is rendered: ``*`` is any text, ``?`` any one character, ``\\`` takes either
literally.  Values of one filter are alternatives, filters must all hold; an unknown name is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from euca_rpc.errors import EucaError

from .messages.places import Filter

T = TypeVar("T")
Field = Callable[[T], Iterable[str | None]]


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    parts, escape = [], False
    for char in text:
        if escape:
            parts.append(re.escape(char))
        elif char == "\\":
            escape = True
            continue
        else:
            parts.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
        escape = False
    # Two stars in a row mean what one means, and cost a great deal more.
    return re.compile(re.sub(r"(?:\.\*)+", ".*", "".join(parts)), re.DOTALL)


def matching(filters: Sequence[Filter], fields: Mapping[str, Field[T]]) -> Callable[[T], bool]:
    """A test for one value; with no filters it is always true."""
    tests: list[tuple[Field[T], frozenset[str], tuple[re.Pattern[str], ...]]] = []
    for wanted in filters:
        field = fields.get(wanted.name)
        if field is None:
            raise EucaError(
                "parameter_invalid",
                f"The filter {wanted.name[:100]!r} is invalid here; there are: {', '.join(sorted(fields))}.",
            )
        if any(len(value) > 255 or value.count("*") > 8 for value in wanted.values):
            raise EucaError(
                "parameter_invalid",
                f"A value of the filter {wanted.name!r} is too long or has too many wildcards.",
            )
        exact = frozenset(value for value in wanted.values if not re.search(r"[*?\\]", value))
        tests.append((field, exact, tuple(_pattern(value) for value in wanted.values if value not in exact)))

    def test(value: T) -> bool:
        for field, exact, patterns in tests:
            for has in field(value):
                if has is not None and (has in exact or any(pattern.fullmatch(has) for pattern in patterns)):
                    break
            else:
                return False
        return True

    return test
