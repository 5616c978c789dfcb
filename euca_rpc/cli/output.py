"""How the command line shows things: JSON for programs, tables for people, steps with their duration.

Everything that is shown goes through `clean`: a guest's console, an image's name or a user's text must
not move the administrator's cursor, retitle the window or hide a line. Colour only where a person
looks at a terminal.
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

KEPT = "\n\t"


def clean(text: str, *, lines: bool = False) -> str:
    """``text`` without anything a terminal would act on.  With ``lines`` line ends and tabs stay, as in a console's
    output; otherwise they become spaces, as in a table's cell."""
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in "\x1b\x9b\x90\x9d\x9e\x9f\x98":
            at = _past_sequence(text, at)
            continue
        if char in KEPT:
            out.append(char if lines else " ")
        elif unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") or char == "\u200d":
            out.append(char)
        at += 1
    return "".join(out)


def _past_sequence(text: str, at: int) -> int:
    """The index after the escape sequence that begins at ``at``; an unfinished one ends with its line."""
    kind = text[at]
    at += 1
    if kind == "\x1b":
        if at >= len(text):
            return at
        kind = {"[": "\x9b", "]": "\x9d", "P": "\x90", "X": "\x98", "^": "\x9e", "_": "\x9f"}.get(
            text[at], ""
        )
        if not kind:  # two or three characters: ESC ( B, ESC c
            while at < len(text) and " " <= text[at] <= "/":
                at += 1
            return at + 1 if at < len(text) and text[at] != "\n" else at
        at += 1
    if kind == "\x9b":  # CSI: parameters, then one final letter
        while at < len(text) and " " <= text[at] <= "?":
            at += 1
        return at + 1 if at < len(text) and text[at] != "\n" else at
    while at < len(text) and text[at] != "\n":  # OSC, DCS …: up to BEL or ST
        if text[at] in "\x07\x9c":
            return at + 1
        if text.startswith("\x1b\\", at):
            return at + 2
        at += 1
    return at


class Output:
    """One per command.  ``as_json`` prints one document on standard output and nothing else there."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        self.errors = Console(highlight=False, soft_wrap=True, stderr=True)

    def document(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=2, sort_keys=False, default=_plain) + "\n")

    def say(self, text: str, style: str = "") -> None:
        """A line for people; silent when a program listens."""
        if not self.as_json:
            self.console.print(Text(clean(text, lines=True), style=style))

    def rows(
        self, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = (), none: str = "none"
    ) -> None:
        if self.as_json:
            self.document([dict(row) for row in rows])
            return
        if not rows:
            self.say(none)
            return
        names = [name for name in columns if any(name in row for row in rows)] or list(rows[0])
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(clean(cell(row.get(name)))) for name in names))
        Console(highlight=False, width=None if self.console.is_terminal else 400).print(table)

    def facts(self, value: Mapping[str, Any]) -> None:
        if self.as_json:
            self.document(value)
            return
        width = max((len(key) for key in value), default=0)
        for key, one in value.items():
            self.say(f"{key.replace('_', ' '):{width}}  {cell(one)}")

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """A step with its duration, on standard error when standard output is a document's."""
        console = self._steps
        step = Step()
        began = time.monotonic()
        try:
            if console.is_terminal:
                with console.status(Text(f"{what} …")):
                    yield step
            else:
                yield step
        except BaseException:
            took = time.monotonic() - began
            console.print(Text.assemble(("  failed", "bold red"), f"  {clean(what):56} {took:6.1f} s"))
            raise
        self.done(what, time.monotonic() - began, step.note)

    def done(self, what: str, seconds: float, note: str = "") -> None:
        more = f"  {clean(note)}" if note else ""
        self._steps.print(Text.assemble(("  ok", "green"), f"  {clean(what):60} {seconds:6.1f} s{more}"))

    @property
    def _steps(self) -> Console:
        return self.errors if self.as_json else self.console


class Step:
    note = ""


def cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and value.keys() == {"name", "free", "total"}:
        return f"{value['name']} {value['free']}/{value['total']}"
    if isinstance(value, Mapping) and value.keys() == {"calls", "failures", "seconds"}:
        return f"{value['calls']} calls, {value['failures']} failed, {value['seconds']:.3f} s;"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={cell(one)}" for key, one in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(cell(one) for one in value) or "-"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
