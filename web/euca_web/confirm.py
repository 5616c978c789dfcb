"""Changes that are asked about on a page of their own before they are made: it works without a script, and a button alone
ends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from euca_rpc.errors import EucaError

from .asked import Page


@dataclass(frozen=True, slots=True)
class Change:
    button: str
    question: str
    consequence: str = ""  # "" = nothing that one would not expect
    done: str = ""  # what is said afterwards, after the name of what was changed
    danger: bool = False


def known(changes: Mapping[str, Change], name: str) -> Change:
    found = changes.get(name)
    if found is None:
        raise EucaError(
            "parameter_invalid", f"What can be asked for here: {', '.join(changes)}; nothing else."
        )
    return found


def confirm(
    title: str,
    change: Change,
    action: str,
    back: str,
    *,
    hidden: Mapping[str, str] | None = None,
    choices_label: str = "",
    choices_name: str = "",
    choices: Sequence[tuple[str, str]] = (),
) -> Page:
    """``action``: where the form goes; ``hidden``: what it says besides; ``choices``: values and words, one of which has to
    be chosen."""
    return Page(
        "confirm.html",
        {
            "title": title,
            "change": change,
            "action": action,
            "back": back,
            "hidden": hidden or {},
            "choices_label": choices_label,
            "choices_name": choices_name,
            "choices": choices,
        },
    )
