"""Whom a cluster controller asks, when, and what it last heard: values and pure functions over them.

              due            asked                 answered
    ┌──────┐  ─────►  ┌─────────────┐  ─────►  heard()  → due again after `poll`
    │ Line │          │ one call    │  ─────►  failed() → due again after a growing pause, at most `backoff`
    └──────┘          │ outstanding │  ─────►  (nothing for `lost`) → as if failed
        ▲             └─────────────┘
        └── hurry(): a poke or an order was sent; due at once, or as soon as the outstanding call has ended

Every node has a line of its own and at most one outstanding call, so one that hangs slows nobody else.

Two times run side by side.  Intervals are measured on the *monotonic* clock: a clock set wrong makes nobody
silent.  What is told to the cloud (`heard_at`, `silent_since`) is *cloud* time.

A node is silent when its last answer is older than `silence` and it was asked in vain since (a cluster
controller that was itself stopped for a minute must not call its nodes silent for it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from euca_rpc.clock import SECOND, Micros
from euca_rpc.deltas import Told, by_id, gone_of
from euca_rpc.errors import EucaError
from euca_rpc.wire.contracts import BY_OBJECT, NODE

_OF_MACHINES = ("version", "since", "machines", "gone")  # of a report
_TIMEOUT: Micros = int(BY_OBJECT[NODE, "report"].timeout * SECOND)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    poll: Micros = 2 * SECOND  # a node is asked this long after its last answer
    silence: Micros = 10 * SECOND  # two asks and their timeouts: one lost answer makes nobody silent
    backoff: Micros = 5 * SECOND  # the longest pause between two asks of a node that does not answer
    gap: Micros = SECOND // 20  # the shortest pause between two asks, however often a node pokes
    timeout: Micros = _TIMEOUT  # what the contract gives a report
    lost: Micros = 2 * _TIMEOUT  # for a carrier that breaks its promise of an answer within `timeout`

    @classmethod
    def of(cls, seconds: Mapping[str, float]) -> ClusterSettings:
        """From a configuration table of seconds: ``{"poll": 2, "silence": 10, "backoff": 5}``."""
        unknown = sorted(set(seconds) - {"poll", "silence", "backoff"})
        if unknown:
            raise EucaError(
                "config_invalid",
                f"The cluster controller has no setting {', '.join(unknown)}; it knows poll, silence"
                " and backoff, each in seconds.",
                facts={"unknown": unknown},
            )
        for name, value in seconds.items():
            if not 0.01 <= value <= 3600:
                raise EucaError(
                    "config_invalid",
                    f"The cluster controller's {name} is {value}; it must lie between 0.01 and 3600 seconds.",
                    facts={"setting": name, "value": str(value)},
                )
        return cls(**{name: int(value * SECOND) for name, value in seconds.items()})


@dataclass(frozen=True, slots=True)
class Line:
    """One node.  Moments named `*_mono` and `due` are monotonic, the others cloud time."""

    node: str
    added_at: Micros
    added_mono: Micros
    due: Micros
    ask: int = 0  # number of the outstanding call, 0 = none; answers of other numbers are too late to count
    asked_mono: Micros | None = None  # when the last call was made
    again: bool = False  # hurried while a call was outstanding: its answer may be older than the news
    failures: int = 0
    heard_at: Micros | None = None
    told_at: Micros = 0  # when the report that is here came
    heard_mono: Micros | None = None
    silent_since: Micros | None = None
    trouble: str = ""
    report: Mapping[str, Any] | None = (
        None  # what a packed NodeReport says of the node itself, passed on as it is
    )
    told: Told | None = None  # what it says of its machines; there if `report` is

    @property
    def version(self) -> int | None:
        return self.told.version if self.told is not None else None


@dataclass(frozen=True, slots=True)
class Decision:
    asks: tuple[str, ...]
    lost: tuple[str, ...]  # outstanding for so long that the answer will never come
    silent: tuple[str, ...]  # became silent by now
    next_due: Micros | None  # monotonic


def add(node: str, now: Micros, mono: Micros) -> Line:
    return Line(node=node, added_at=now, added_mono=mono, due=mono)


def decide(lines: Iterable[Line], mono: Micros, settings: ClusterSettings) -> Decision:
    """What is to be done now, and when to look again."""
    asks: list[str] = []
    lost: list[str] = []
    silent: list[str] = []
    due: list[Micros] = []
    for line in lines:
        if line.ask:
            gone = _asked(line) + settings.lost
            if gone <= mono:
                lost.append(line.node)
                due.append(mono)
            else:
                due.append(gone)
        elif line.due <= mono:
            asks.append(line.node)
            due.append(mono + settings.lost)
        else:
            due.append(line.due)
        if line.silent_since is None:
            quiet = silent_from(line, settings)
            if quiet is not None:
                if quiet <= mono:
                    silent.append(line.node)
                else:
                    due.append(quiet)
    return Decision(tuple(asks), tuple(lost), tuple(silent), min(due, default=None))


def silent_from(line: Line, settings: ClusterSettings) -> Micros | None:
    """The monotonic moment from which the node counts as silent; None while it is not asked in vain."""
    quiet = (line.heard_mono if line.heard_mono is not None else line.added_mono) + settings.silence
    if line.failures:
        return quiet
    return max(quiet, _asked(line) + settings.timeout) if line.ask else None


def asked(line: Line, number: int, mono: Micros) -> Line:
    return replace(line, ask=number, asked_mono=mono, again=False)


def hurry(line: Line, mono: Micros, settings: ClusterSettings) -> Line:
    """There may be news: ask now."""
    if line.ask:
        return replace(line, again=True)
    earliest = mono if line.asked_mono is None else max(mono, line.asked_mono + settings.gap)
    return replace(line, due=min(line.due, earliest))


def heard(
    line: Line, report: Mapping[str, Any], now: Micros, mono: Micros, settings: ClusterSettings
) -> Line:
    """The node answered with a whole report, with a delta to the one that is here, or with its ``{"same": version}``; it
    is one that `nonsense` has nothing to say about."""
    alive = replace(
        line,
        ask=0,
        failures=0,
        heard_at=now,
        heard_mono=mono,
        silent_since=None,
        trouble="",
        due=mono + settings.poll,
    )
    if "same" in report:
        if line.report is None or report["same"] != line.version:  # it means a report that is not here
            alive = _ask_whole(alive, line, settings)
    else:
        told = _taken(line.told, report)
        itself = {name: value for name, value in report.items() if name not in _OF_MACHINES}
        alive = (
            _ask_whole(alive, line, settings)
            if told is None
            else replace(alive, report=itself, told=told, told_at=now)
        )
    return hurry(alive, mono, settings) if line.again else alive


def _taken(before: Told | None, report: Mapping[str, Any]) -> Told | None:
    machines = by_id(report["machines"]) or {}
    if "since" not in report:
        return Told.whole(report["version"], machines)
    return before and before.taken(report["version"], report["since"], machines, report["gone"])


def _ask_whole(alive: Line, line: Line, settings: ClusterSettings) -> Line:
    return replace(alive, report=None, told=None, due=_asked(line) + settings.gap)


def nonsense(line: Line, value: object) -> str:
    """What is wrong with an answer; a node that speaks nonsense is no better than one that is silent."""
    if not isinstance(value, Mapping):
        return f"It answered a report with a {type(value).__name__}."
    if "same" in value:
        return "" if line.report is not None else "It reports no change, but nothing was known of it."
    if value.get("node") != line.node:
        return f"It answered as {value.get('node')!r}, not as {line.node!r}."
    if type(value.get("version")) is not int:
        return "Its report carries no version."
    if by_id(value.get("machines")) is None:
        return "Its report tells of machines without ids."
    if "since" in value and gone_of(value) is None:
        return "Its report names what is gone by no ids."
    return ""


def failed(line: Line, trouble: str, mono: Micros, settings: ClusterSettings) -> Line:
    failures = line.failures + 1
    pause = min(settings.backoff, settings.poll << min(failures - 1, 20))
    down = replace(line, ask=0, failures=failures, trouble=trouble, due=mono + pause)
    return hurry(down, mono, settings) if line.again else down


def silence(line: Line) -> Line:
    """Silent since its last answer; one that never answered since it was put on the roster."""
    return replace(line, silent_since=line.heard_at if line.heard_at is not None else line.added_at)


def _asked(line: Line) -> Micros:
    return line.added_mono if line.asked_mono is None else line.asked_mono
