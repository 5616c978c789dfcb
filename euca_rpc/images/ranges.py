"""The two HTTP headers that make transfers resumable."""

from __future__ import annotations

import re

from euca_rpc.errors import EucaError


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """(begin, end) of a single range, cut to the size; None for none, or for several, which may be ignored."""
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text.replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    return int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)


def content_begin(text: str) -> int:
    found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)", text)
    if text and found is None:
        raise EucaError("parameter_invalid", "Content-Range must look like: bytes 1000-1999/2000")
    return int(found[1]) if found else 0
