"""Whom to ask for a report, and when.

    due, or poked ─► asked (number n) ─► answer to n: taken over ─► due again after a while
                          └► pokes meanwhile: asked again at once

One question to a zone at a time, and one answer to it counts: what comes late or twice is dropped.  All of this is of this
process only and nothing is decided from it but whom to ask, so it is no part of the view and needs no transaction.

Used by the thread that steps the controller, by those that bring answers and by those that bring pokes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from euca_rpc.clock import SECOND, Micros

EVERY: Micros = 2 * SECOND  # from the end of one question to the next, unless the settings say otherwise


@dataclass(slots=True)
class _Zone:
    due: Micros = 0
    poked: bool = False  # it has news of which it was not asked yet
    question: int = 0  # the one that is under way; 0: none
    heard: bool = False  # there is an answer to it, which is being taken over
    told: tuple[object, ...] = ()  # the roster that its cluster controller confirmed


class Polls:
    def __init__(self, every: Micros) -> None:
        """``every``: from the end of one question to the next, if nobody pokes."""
        self._every = every
        self._lock = Lock()
        self._zones: dict[str, _Zone] = {}
        self._as_told: Mapping[str, object] = {}
        self._asked = 0

    def take_due(
        self, zones: Mapping[str, object], now: Micros
    ) -> tuple[list[tuple[str, int]], Micros | None]:
        """The zones that are to be asked now, each with the number of its question; and when the next one is to be, if
        nobody pokes.  ``zones``: all that there are, never changed in place."""
        with self._lock:
            if zones is not self._as_told:  # the view's own map: another one whenever a zone changes
                self._zones = {name: self._zones.get(name) or _Zone() for name in sorted(zones)}
                self._as_told = zones
            ask: list[tuple[str, int]] = []
            due: Micros | None = None
            for name, zone in self._zones.items():
                if zone.question:
                    continue
                if zone.poked or zone.due <= now:
                    self._asked += 1
                    zone.question, zone.poked = self._asked, False
                    ask.append((name, zone.question))
                elif due is None or zone.due < due:
                    due = zone.due
            return ask, due

    def heard(self, name: str, question: int) -> bool:
        """Whether the answer to it counts: it is the one under way, and had none."""
        with self._lock:
            zone = self._zones.get(name)
            if zone is None or zone.question != question or zone.heard:
                return False
            zone.heard = True
            return True

    def over(self, name: str, question: int, now: Micros) -> None:
        """The answer was taken over, or could not be."""
        with self._lock:
            zone = self._zones.get(name)
            if zone is not None and zone.question == question:
                zone.question, zone.heard, zone.due = 0, False, now + self._every

    def poke(self, name: str) -> None:
        """It has news: ask it now, or as soon as it has answered what it was asked before."""
        with self._lock:
            zone = self._zones.get(name)
            if zone is not None:  # else it is new, and asked by the next step anyway; or gone
                zone.poked = True

    def told(self, name: str) -> tuple[object, ...]:
        """The roster that it confirmed last."""
        with self._lock:
            zone = self._zones.get(name)
            return zone.told if zone is not None else ()

    def confirmed(self, name: str, roster: tuple[object, ...]) -> None:
        """It knows whom to ask: what it heard since is of interest now."""
        with self._lock:
            zone = self._zones.get(name)
            if zone is not None:
                zone.told, zone.poked = roster, True
