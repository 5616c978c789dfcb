"""The cluster and node controllers of an experiment, seen through the carrier: what they would answer, and when.

    ensure ─► boot_seconds ─► running ─┐
    absent ─► end_seconds ───► gone ───┤
    sleep  ─► sleep_seconds ─► silent ─┤
    rouse  ─► wake_seconds ──► answers ┴─► the zone pokes the cloud controller ─► report: the nodes that changed

The hosts do as they are told and never fail; what a failing host does to a cloud is the business of the tests.  An
answer comes after everything that was under way at that moment, never inside the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.lab.site import Host, Site, Zone
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.types import Seen
from euca_rpc.wire.codec import pack

ARCHITECTURE = "x86_64"


class Times(Protocol):
    """Simulated time (`timeline.Timeline`)."""

    def now(self) -> Micros: ...

    def at(self, moment: Micros, job: Callable[[], Any]) -> None: ...


class _Node:
    def __init__(self, host: Host) -> None:
        self.id = host.id
        self.version = 1
        self.machines: dict[str, dict[str, Any]] = {}  # instance id → a packed MachineReport
        self.gone: dict[str, int] = {}  # instance id → the version that told of its end
        self.news: dict[str, None] = {}  # ids of what was not told yet
        self.silent_since: Micros | None = None  # it sleeps
        self.waking = False
        report = NodeReport(host.id, f"boot-{host.id}", "simulated", ARCHITECTURE, host.offer, 0, sleeps=True)
        self._words = pack(report)

    def say(self, id: str, generation: int, seen: Seen) -> None:
        self.version += 1
        self.machines[id] = pack(MachineReport(id, generation, 0, seen))
        self.news[id] = None
        if seen is Seen.ABSENT:
            self.gone[id] = self.version

    def report(self, known: int) -> dict[str, Any]:
        """What is new since the version ``known``, which is what was told last: nothing is lost on the way."""
        heard = [id for id, version in self.gone.items() if version <= known]
        for id in heard:  # said no more
            del self.gone[id], self.machines[id]
        since = {"since": known, "gone": heard} if known else {}
        news, self.news = self.news, {}
        machines = [self.machines[id] for id in news]
        return {**self._words, "version": self.version, "machines": machines, **since}


class SimulatedHosts:
    """A `Carrier`."""

    def __init__(self, site: Site, times: Times, poke: Callable[[str], None]) -> None:
        self._times, self._poke = times, poke
        self._zones: dict[str, Zone] = {zone.name: zone for zone in site.zones}
        self._nodes = {id: _Node(host) for id, host in site.hosts.items()}
        self._changed: dict[str, dict[str, None]] = {zone: {} for zone in self._zones}
        for id in self._nodes:
            self._changed[id.partition("/")[0]][id] = None
        self._poked: set[str] = set()
        self._told: set[str] = set()  # zones that were told their roster

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        zone = peer.rpartition(".")[2]
        match method:
            case "report":
                value = self._report(zone, args["known"])
            case "roster":
                self._told.add(zone)
                value = {"accepted": True}
            case "ensure":
                after = int(self._zones[zone].boot_seconds * SECOND)
                for spec in args["specs"]:
                    self._soon(after, args["node"], spec["instance_id"], spec["generation"], Seen.RUNNING)
                value = {"accepted": True}
            case "absent" | "stop":
                seen = Seen.ABSENT if method == "absent" else Seen.STOPPED
                after = int(self._zones[zone].end_seconds * SECOND)
                for item in args["items"]:
                    self._soon(after, args["node"], item["instance_id"], item["generation"], seen)
                value = {"accepted": True}
            case "sleep":
                after = int(self._zones[zone].sleep_seconds * SECOND)
                self._times.at(self._times.now() + after, lambda: self._sleeps(args["node"]))
                value = {"accepted": True}
            case "rouse":
                if not self._nodes[args["node"]].waking:
                    self._nodes[args["node"]].waking = True
                    after = int(self._zones[zone].wake_seconds * SECOND)
                    self._times.at(self._times.now() + after, lambda: self._wakes(args["node"]))
                value = {"accepted": True}
            case _:
                error = EucaError("action_unknown", f"an experiment's hosts cannot {method}")
                self._times.at(self._times.now(), lambda: on_answer(Answer(None, error)))
                return
        self._times.at(self._times.now(), lambda: on_answer(Answer(value)))

    def run(self, key: str, job: Callable[[], Any], on_answer: OnAnswer) -> None:
        value = job()
        self._times.at(self._times.now(), lambda: on_answer(Answer(value)))

    # ------------------------------------------------------------------------------------------------ details
    def _soon(self, after: Micros, node: str, id: str, generation: int, seen: Seen) -> None:
        self._times.at(self._times.now() + after, lambda: self._happens(node, id, generation, seen))

    def _happens(self, node: str, id: str, generation: int, seen: Seen) -> None:
        known = self._nodes[node].machines.get(id)
        if known is not None and (known["generation"], known["seen"]) == (generation, seen):
            return  # told twice
        if known is not None and known["seen"] == Seen.ABSENT:
            return  # its end is on record: nothing older is started
        self._nodes[node].say(id, generation, seen)
        self._news(node)

    def _sleeps(self, id: str) -> None:
        node = self._nodes[id]
        if node.silent_since is None and all(m["seen"] == Seen.ABSENT for m in node.machines.values()):
            node.silent_since = self._times.now()
            self._news(id)

    def _wakes(self, id: str) -> None:
        node = self._nodes[id]
        node.silent_since, node.waking = None, False
        self._news(id)

    def _news(self, node: str) -> None:
        zone = node.partition("/")[0]
        self._changed[zone][node] = None
        if zone not in self._poked:  # what happens at one moment is told at once
            self._poked.add(zone)
            self._times.at(self._times.now(), lambda: self._tell(zone))

    def _tell(self, zone: str) -> None:
        self._poked.discard(zone)
        self._poke(zone)

    def _report(self, zone: str, known: Mapping[str, int]) -> dict[str, Any]:
        """As `cluster.service` answers; nodes of which there is nothing new are left out."""
        now = self._times.now()
        changed, self._changed[zone] = self._changed[zone], {}
        if zone not in self._told:
            changed = {}
            self._changed[zone] = {id: None for id in self._nodes if id.startswith(zone + "/")}
        return {
            "zone": zone,
            "start_id": "lab",
            "now": now,
            "roster": zone in self._told,
            "nodes": {
                id: {
                    "heard_at": now,
                    "silent_since": self._nodes[id].silent_since,
                    "trouble": "",
                    "version": self._nodes[id].version,
                    "report": self._nodes[id].report(known.get(id, 0)),
                }
                for id in changed
            },
        }
