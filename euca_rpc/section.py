"""A section of the settings as a frozen dataclass, whose defaults say of what type each setting is.

Everything that is wrong is named, with what would be right: an unknown name, another type, a number that is too small.
What settings mean together, their owner checks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from euca_rpc.errors import EucaError

Section = TypeVar("Section")


def read_section(
    kind: type[Section], given: Mapping[str, Any], whose: str, least: Mapping[str, float]
) -> Section:
    """``whose`` begins the sentence of a refusal (config_invalid): "The EC2 interface".  ``least``: of numbers that may be
    less than 1.  A list of texts is taken for a tuple."""
    known: dict[str, Any] = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
            raise wrong(whose, f"has no setting {name!r}; {hint}")
        wanted = type(known[name])
        if not _fits(value, wanted):
            must = "list of texts" if wanted is tuple else wanted.__name__
            raise wrong(whose, f"has the setting {name!r} as {value!r}; it must be a {must}.")
        if wanted in (int, float) and value < least.get(name, 1):
            raise wrong(
                whose, f"has the setting {name!r} as {value!r}; it must be at least {least.get(name, 1):g}."
            )
        found[name] = tuple(value) if wanted is tuple else value
    return kind(**found)


def wrong(whose: str, why: str) -> EucaError:
    return EucaError("config_invalid", f"{whose} {why}")


def _fits(value: Any, wanted: type) -> bool:
    if wanted is tuple:
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if isinstance(value, bool) or wanted is bool:  # which Python counts among the numbers
        return isinstance(value, bool) and wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)
