"""The header lines of a request, read in the one way that nobody could read differently.

cheroot takes the last of two like headers, joins folded lines, reads `+5` as a length and strips blanks from names; a
proxy in front may do otherwise, and then the two disagree about where a request ends or what it says.  Whatever RFC
9110 and 9112 leave to be guessed is refused with 400 here.
"""

from __future__ import annotations

import re
from typing import Any

# A token of RFC 9110 without the underscore, since WSGI writes X_A and X-A as one name.
_LINE = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]{1,200}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
# Lists, of which several lines are one (RFC 9110, 5.3); all else may come once.
_LISTS = frozenset(
    b"Accept Accept-Charset Accept-Encoding Accept-Language Cache-Control Connection Expect Forwarded Pragma Te"
    b" Transfer-Encoding Upgrade Via X-Forwarded-For".split()
)


class Headers:
    """Stands in for cheroot's own reader; a ValueError becomes a 400 with its text."""

    def __call__(self, rfile: Any, found: dict[bytes, bytes]) -> dict[bytes, bytes]:
        while (line := rfile.readline()) != b"\r\n":
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(
                    "A header line is malformed: folded, without a name, or with bytes that may not be in it."
                )
            name, value = match[1].title(), match[2].rstrip(b" \t")
            if name in found:
                if name not in _LISTS:
                    raise ValueError(f"The header {name.decode()} is given more than once.")
                value = found[name] + b", " + value
            found[name] = value
        length = found.get(b"Content-Length")
        if length is not None and _LENGTH.fullmatch(length) is None:
            raise ValueError("Content-Length is not a number.")
        if length is not None and b"Transfer-Encoding" in found:
            raise ValueError("The request has both a Content-Length and a Transfer-Encoding.")
        return found
