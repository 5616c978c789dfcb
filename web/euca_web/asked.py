"""What a page is asked, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.nouns import Core
from euca_rpc.shown import LoggedIn, Present, Visitor
from euca_rpc.types import Caller

from .incoming import Incoming
from .settings import PortalSettings

LONGEST = 1000  # characters of a field, unless its page says otherwise


class Fields:
    """What a form or a query says, each field once.  What is not there is empty, as browsers leave out what is not
    ticked."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str, most: int = LONGEST) -> str:
        """Without blanks around it."""
        return self.raw(name, most).strip()

    def raw(self, name: str, most: int = LONGEST) -> str:
        value = self._given.get(name, "")
        if len(value) > most:
            raise EucaError(
                "parameter_invalid",
                f"The field {name!r} has {len(value)} characters; at most {most} are taken.",
            )
        return value

    def line(self, name: str, most: int = LONGEST) -> str:
        """One line: no control characters, which nothing but a forged form sends."""
        value = self.text(name, most)
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise EucaError("parameter_invalid", f"The field {name!r} must be one line of text.")
        return value

    def whole(self, name: str, least: int, most: int, usual: int) -> int:
        text = self.text(name, 30)
        if not text:
            return usual
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise EucaError(
                "parameter_invalid",
                f"The field {name!r} is {text!r}; a whole number from {least} to {most} is needed.",
            )
        return value

    def choice(self, name: str, *offered: str) -> str:
        """One of them; the first if the field is empty."""
        value = self.text(name)
        if not value:
            return offered[0]
        if value not in offered:
            raise EucaError(
                "parameter_invalid",
                f"The field {name!r} is {value[:60]!r}; choose one of {', '.join(filter(None, offered))}.",
            )
        return value

    def ticked(self, name: str) -> bool:
        return bool(self._given.get(name))

    def shown(self, name: str) -> str:
        """What was typed, to fill a form again; never called for passwords."""
        return self._given.get(name, "")[:20_000]


NOTHING = Fields({})


@dataclass(frozen=True, slots=True)
class Ground:
    """What all requests share."""

    core: Core
    settings: PortalSettings
    is_page: Callable[[str], bool]  # whether a GET of that path is a page of ours


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked: who asks may open this page, and a change was asked for by a page of ours."""

    ground: Ground
    visitor: Visitor
    token: str = field(repr=False)  # of the session; "" = nobody is logged in
    present: Present | None
    who: Caller | None
    path: Mapping[str, str]
    target: str  # path and query as asked, for links back
    query: Fields = NOTHING
    form: Fields = NOTHING
    file: Incoming | None = None  # of a form that has one
    trouble: EucaError | None = None  # why the form that was sent is shown again

    @property
    def core(self) -> Core:
        return self.ground.core

    @property
    def settings(self) -> PortalSettings:
        return self.ground.settings

    @property
    def caller(self) -> Caller:
        """Of pages for users; routes sees to it that there is one."""
        if self.who is None:
            raise EucaError("auth_failure", "Log in first.")
        return self.who


@dataclass(frozen=True, slots=True)
class Page:
    template: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """To a page of ours, after a change; ``said`` is shown there once."""

    to: str
    said: str = ""
    logged_in: LoggedIn | None = None  # from now on
    logged_out: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    name: str  # letters, digits, dots and hyphens
    type: str
    body: bytes = field(repr=False)


Answer = Page | Redirect | Download
