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
def _tokens(text: str) -> tuple[str, ...]:
    """Single characters, ``""`` for any one of them, and ``"*"`` for any text (a literal star is escaped)."""
    tokens: list[str] = []
    escape = False
    for char in text:
        if char == "\\" and not escape:
            escape = True
            continue
        if escape or char not in "*?":
            tokens.append("\\*" if char == "*" else char)
        else:
            tokens.append("*" if char == "*" else "")
        escape = False
    return tuple(tokens)


def _like(text: str, tokens: tuple[str, ...]) -> bool:
    """Goes back to the last star only, which is enough: a regular expression would go back to all of them, and take
    hours over a hostile filter."""
    at = here = 0
    star = resume = -1
    while at < len(text):
        token = tokens[here] if here < len(tokens) else None
        if token == "*":
            star, resume, here = here, at, here + 1
        elif token is not None and token in ("", text[at], "\\" + text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = resume, star + 1
        else:
            return False
    return all(token == "*" for token in tokens[here:])


def matching(filters: Sequence[Filter], fields: Mapping[str, Field[T]]) -> Callable[[T], bool]:
    """A test for one value; with no filters it is always true."""
    tests: list[tuple[Field[T], frozenset[str], tuple[tuple[str, ...], ...]]] = []
    for wanted in filters:
        field = fields.get(wanted.name)
        if field is None:
            raise EucaError(
                "parameter_invalid",
                f"The filter {wanted.name[:100]!r} is invalid here; there are: {', '.join(sorted(fields))}.",
            )
        if any(len(value) > 255 for value in wanted.values):
            raise EucaError("parameter_invalid", f"A value of the filter {wanted.name!r} is too long.")
        exact = frozenset(value for value in wanted.values if not re.search(r"[*?\\]", value))
        tests.append((field, exact, tuple(_tokens(value) for value in wanted.values if value not in exact)))

    def test(value: T) -> bool:
        for field, exact, patterns in tests:
            for has in field(value):
                if has is not None and (has in exact or any(_like(has, pattern) for pattern in patterns)):
                    break
            else:
                return False
        return True

    return test
