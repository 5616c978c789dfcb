"""What an experiment tells: every decision in order, and every machine's stay.

Stays are read from the event table, as a live cloud's would be: `instance.launched`, then `instance.seen`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from euca_rpc.clock import Micros
from euca_rpc.errors import EucaError
from euca_rpc.lab.site import Site
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Event, Size


@dataclass(frozen=True, slots=True)
class Decision:
    """One request's fate: its nodes, or why it got none."""

    key: str
    at: Micros  # since the workload began
    nodes: tuple[str, ...] = ()
    symbol: str = ""  # of the refusal
    reason: str = ""


@dataclass(slots=True)
class Stay:
    """One machine on one node.  Moments since the workload began; None: not within it."""

    instance: str
    node: str
    size: Size
    user: str
    launched: Micros
    running: Micros | None = None
    ended: Micros | None = None
    wait: Micros = 0  # from its request to its launch
    duration: Micros | None = None  # that its request has


@dataclass(frozen=True, slots=True)
class Record:
    workload: Workload
    policy: str
    site: Site
    decisions: tuple[Decision, ...]
    stays: tuple[Stay, ...]


class Recorder:
    def __init__(self, types: Mapping[str, Size]) -> None:
        self.begin: Micros = 0
        self.users: dict[str, str] = {}  # the cloud's name → the source's
        self._types = types
        self._stays: dict[str, Stay] = {}
        self._decisions: list[Decision] = []

    def event(self, event: Event) -> None:
        """From the journal, in order."""
        if event.kind == "instance.launched":
            facts = json.loads(event.facts)
            size, user = self._types[facts["type"]], self.users[event.actor]
            self._stays[event.subject] = Stay(event.subject, facts["node"], size, user, event.at - self.begin)
        elif event.kind == "instance.moved":
            self._stays[event.subject].node = json.loads(event.facts)["to"]
        elif event.kind == "instance.seen":
            stay, state = self._stays[event.subject], json.loads(event.facts)["state"]
            if state == "running" and stay.running is None:
                stay.running = event.at - self.begin
            elif state == "terminated":
                stay.ended = event.at - self.begin

    def launched(self, request: Request, now: Micros, ids: Sequence[str], nodes: Sequence[str]) -> None:
        self._decisions.append(Decision(request.key, now - self.begin, tuple(nodes)))
        for id in ids:
            stay = self._stays[id]
            stay.wait, stay.duration = now - self.begin - request.at, request.duration

    def refused(self, request: Request, now: Micros, refusal: EucaError) -> None:
        self._decisions.append(Decision(request.key, now - self.begin, (), refusal.symbol, refusal.sentence))

    def waits(self, request: Request, now: Micros) -> None:
        """To the end, in vain."""
        reason = "there was no room before the workload ended"
        self._decisions.append(Decision(request.key, now - self.begin, (), "still_waiting", reason))

    def record(self, workload: Workload, policy: str, site: Site) -> Record:
        return Record(workload, policy, site, tuple(self._decisions), tuple(self._stays.values()))
