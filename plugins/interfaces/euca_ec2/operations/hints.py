"""What a launch tells policies: `AdditionalInfo` as lines ``name=value``, tags ``euca:name``, the placement group, and the
highest price of the spot market.  The core passes hints on; only policies know what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from euca_rpc.errors import EucaError

from ..messages.instances import RunInstances

TAG_PREFIX = "euca:"
MOST_HINTS = 50
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


def hints(request: RunInstances, tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """In the order of their names, so that the same launch has the same hints."""
    found: dict[str, str] = {}
    for name, value in _all(request, tags):
        if not _NAME.fullmatch(name) or len(value) > 255 or not value.isprintable():
            raise EucaError(
                "parameter_invalid",
                f"The hint {name[:64]!r}: a name has up to 64 letters, digits and . _ -, a value up to 255 printable "
                "characters.",
            )
        if found.setdefault(name, value) != value:
            raise EucaError("parameter_conflict", f"The hint {name!r} is given twice, with different values.")
    if len(found) > MOST_HINTS:
        raise EucaError("parameter_invalid", f"{len(found)} hints; at most {MOST_HINTS} are allowed.")
    return tuple(sorted(found.items()))


def _all(request: RunInstances, tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for line in request.additional_info.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals and name:
            raise EucaError(
                "parameter_invalid",
                f"AdditionalInfo holds hints, one name=value a line; {line[:60]!r} is none.",
            )
        if equals:
            yield name.strip(), value.strip()
    for key, value in tags.items():
        if key.startswith(TAG_PREFIX):
            yield key.removeprefix(TAG_PREFIX), value
    if request.placement_group:
        yield "group", request.placement_group
    if request.max_price:
        yield "bid", request.max_price
