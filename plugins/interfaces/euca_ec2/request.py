"""A request as it arrived, before anything in it is believed, and the parameters it carries.

Nothing is normalised here: method, path, query, header values and body are the bytes the signature was made over.
`parameters` decodes names and values exactly once and refuses what could be read in two ways (a name given twice,
a broken escape, bytes that are not UTF-8), so that verifying and executing cannot see different requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from euca_rpc.errors import EucaError
from euca_rpc.frozen import quick

MAX_PARAMETERS = 3000  # the longest honest request names 1,000 instances
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@quick
@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # as sent, undecoded
    query: str  # as sent, without the question mark
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes = b""
    secure: bool = False

    def header(self, name: str) -> str | None:
        """The value of a header; one that came twice counts as a value that fits nothing."""
        found = [value for key, value in self.headers if key == name]
        return ", ".join(found) if found else None


def _pairs(text: str) -> list[tuple[str, str]]:
    if text.count("&") >= MAX_PARAMETERS:
        raise EucaError(
            "parameter_invalid",
            f"The request has more than {MAX_PARAMETERS} parameters; split it into several requests.",
        )
    if _BROKEN_ESCAPE.search(text):
        raise EucaError(
            "parameter_invalid", "A '%' in the parameters is not followed by two hexadecimal digits."
        )
    pairs = []
    for piece in text.split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        pairs.append((_plain(name), _plain(value)))
    return pairs


def _plain(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, "utf-8", "strict") if "%" in text else text


def decoded(text: str) -> list[tuple[str, str]]:
    """Names and values of a query string or form, in order."""
    try:
        return _pairs(text)
    except UnicodeDecodeError:
        raise EucaError("parameter_invalid", "The parameters are not valid UTF-8.") from None


def parameters(request: Request) -> dict[str, str]:
    """All parameters, from the query string and from a form body alike."""
    try:
        body = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise EucaError("parameter_invalid", "The request's body is not a form in UTF-8.") from None
    pairs = decoded(request.query) if request.query else []
    if body:
        pairs += decoded(body)
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise EucaError("parameter_conflict", f"The parameter {twice[:100]!r} is given more than once.")
    return found
