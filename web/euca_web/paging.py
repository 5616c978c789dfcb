"""A part of a list that is in memory: pages go by the place of a row, so that a link stays short and needs no state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from euca_rpc.shown import Page as Part

from .asked import Fields

Row = TypeVar("Row")
PER_PAGE = 50


def part(rows: Sequence[Row], query: Fields) -> Part[Row]:
    first = query.whole("after", 0, 10**9, 0)
    more = first + PER_PAGE < len(rows)
    return Part(tuple(rows[first : first + PER_PAGE]), str(first + PER_PAGE) if more else "")
