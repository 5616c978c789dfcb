"""What an experiment tells: every decision in order, and every machine's stay.

Stays are read from the event table, as a live cloud's would be: `instance.launched`, then `instance.seen`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from euca_rpc.clock import Micros
from euca_rpc.cloud.leases import EVICTED
from euca_rpc.cloud.waiting import REFUSED
from euca_rpc.errors import EucaError
from euca_rpc.lab.site import Site
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Event, Size

STILL_WAITING = "still_waiting"  # a decision's symbol: the workload ended before there was one
RECORDED = "recorded"  # in the place of a policy: what really happened


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
    noticed: Micros | None = None  # told that it has to go
    evicted: Micros | None = None  # ended by that


@dataclass(frozen=True, slots=True)
class Nap:
    """One node asleep; ``until`` None: beyond the end."""

    node: str
    since: Micros
    until: Micros | None = None


@dataclass(frozen=True, slots=True)
class Record:
    workload: Workload
    policy: str
    site: Site
    decisions: tuple[Decision, ...]
    stays: tuple[Stay, ...]
    naps: tuple[Nap, ...] = ()


def as_recorded(workload: Workload, site: Site) -> Record:
    """What the original scheduler did, as if it had been an experiment; it may have given a node more than it has.
    parameter_invalid: the workload does not say."""
    hosts = list(site.hosts)
    stays, decisions = [], []
    for request in workload.requests:
        names = request.recorded.split()
        found = [
            host_of(name, hosts)
            for name in (names if len(names) == request.count else names[:1] * request.count)
        ]
        nodes = [node for node in found if node is not None]
        if len(nodes) < request.count:
            raise EucaError(
                "parameter_invalid",
                f"{workload.name}: {request.key} went to {request.recorded or 'a node that is not recorded'}, which is none "
                f"of the site's {len(hosts)} nodes",
            )
        decisions.append(Decision(request.key, request.at, tuple(nodes)))
        for node, duration in zip(nodes, request.durations, strict=True):
            ended = None if duration is None else request.at + duration
            stay = Stay(
                request.key, node, request.size, request.user, request.at, request.at, ended, 0, duration
            )
            stays.append(stay)
    return Record(workload, RECORDED, site, tuple(decisions), tuple(stays))


def host_of(recorded: str, hosts: Sequence[str]) -> str | None:
    """The site's node that a trace calls so: by its id, or NODE7 for the eighth."""
    if recorded in hosts:
        return recorded
    digits = recorded[len(recorded.rstrip("0123456789")) :]
    return hosts[int(digits)] if digits and int(digits) < len(hosts) else None


Ended = tuple[str, str]  # a symbol and a sentence


class Recorder:
    def __init__(
        self, types: Mapping[str, Size], settled: Callable[[str, Ended | None], None] = lambda id, why: None
    ) -> None:
        """``settled`` hears of each reservation that was placed, or ended before it was: then with the reason."""
        self.begin: Micros = 0
        self.users: dict[str, str] = {}  # the cloud's name → the source's
        self._types = types
        self._settled = settled
        self._stays: dict[str, Stay] = {}
        self._waits: dict[str, str] = {}  # instance that was told to wait → its reservation
        self._decisions: list[Decision] = []
        self._naps: list[Nap] = []
        self._asleep: dict[str, Micros] = {}

    def event(self, event: Event) -> None:
        """From the journal, in order."""
        if event.kind == "instance.launched":
            facts = event.facts
            size, user = self._types[facts["type"]], self.users[event.actor]
            self._stays[event.subject] = Stay(event.subject, facts["node"], size, user, event.at - self.begin)
            if self._waits.pop(event.subject, None) is not None:
                self._settled(facts["reservation"], None)
        elif event.kind == "instance.waits":
            self._waits[event.subject] = event.facts["reservation"]
        elif event.subject in self._waits and event.kind == "instance.terminate":
            facts = event.facts
            symbol = "policy_refused" if facts.get("code") == REFUSED else "waited_in_vain"
            self._settled(self._waits.pop(event.subject), (symbol, facts.get("reason", "")))
        elif event.kind == "node.asleep":
            self._asleep[event.subject] = event.at - self.begin
        elif event.kind == "node.awake" and event.subject in self._asleep:
            self._naps.append(Nap(event.subject, self._asleep.pop(event.subject), event.at - self.begin))
        elif event.kind == "instance.eviction":
            self._stays[event.subject].noticed = event.at - self.begin
        elif event.kind == "instance.moved":
            self._stays[event.subject].node = event.facts["to"]
        elif event.kind in (
            "instance.seen",
            "instance.terminate",
        ):  # one that no node was told of ends at once
            facts = event.facts
            stay, state = self._stays[event.subject], facts["state"]
            if facts.get("code") == EVICTED:
                stay.evicted = event.at - self.begin
            if state == "running" and stay.running is None:
                stay.running = event.at - self.begin
            elif state == "terminated" and stay.ended is None:
                stay.ended = event.at - self.begin

    def launched(self, request: Request, now: Micros, ids: Sequence[str], nodes: Sequence[str]) -> None:
        self._decisions.append(Decision(request.key, now - self.begin, tuple(nodes)))
        for id, duration in zip(ids, request.durations, strict=True):
            stay = self._stays[id]
            stay.wait, stay.duration = now - self.begin - request.at, duration

    def refused(self, request: Request, now: Micros, why: Ended) -> None:
        self._decisions.append(Decision(request.key, now - self.begin, (), *why))

    def waits(self, request: Request, now: Micros) -> None:
        """To the end, in vain."""
        reason = "there was no room before the workload ended"
        self._decisions.append(Decision(request.key, now - self.begin, (), STILL_WAITING, reason))

    def record(self, workload: Workload, policy: str, site: Site) -> Record:
        naps = (*self._naps, *(Nap(node, since) for node, since in self._asleep.items()))
        return Record(workload, policy, site, tuple(self._decisions), tuple(self._stays.values()), naps)
