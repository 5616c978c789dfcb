"""Wildcards mean what the equivalent regular expression means, and never take long."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from euca_ec2.filters import _like, _parts

letters = "ab*?\\"


def expression(pattern: str) -> str:
    parts, escape = [], False
    for char in pattern:
        if char == "\\" and not escape:
            escape = True
            continue
        parts.append(re.escape(char) if escape or char not in "*?" else {"*": ".*", "?": "."}[char])
        escape = False
    return "".join(parts)


@given(st.text(letters, max_size=7), st.text(letters, max_size=9))
def test_like_is_the_regular_expression(pattern, text):
    assert _like(text, _parts(pattern)) == bool(re.fullmatch(expression(pattern), text, re.DOTALL))


def test_a_hostile_filter_is_quick():
    began = time.perf_counter()
    assert not _like("a" * 2000, _parts("*a" * 120 + "*b"))
    assert time.perf_counter() - began < 1
