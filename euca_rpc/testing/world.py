"""A whole cloud in one process, on simulated time, out of the real parts.

    clients ─► cloud controller ─► carrier that loses and delays ─► cluster controllers ─► … ─► node controllers
               a real store, files     (`network`)                                                simulated hypervisor

What is swapped is the clock, the ids, what drives the journal (the caller's own time) and the carrier; everything else
is the code that the daemons run.  A process that is killed leaves what is on disk and nothing else; the next one of the
same name starts from there, through the same constructors as a daemon.  One seed gives one history, always the same.

On one core of the machine that this was written on, a world of 2 zones with 2 nodes each, busy clients and faults all
the while passes about 1,500 simulated seconds in a real one (`World.speed`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any

from euca_rpc.clock import HOUR, SECOND, ManualClock, Micros
from euca_rpc.cloud import accounts, admin, bootstrap, nodes, polling
from euca_rpc.cloud.admin import Context
from euca_rpc.cloud.changes import Change, Outcome, Put
from euca_rpc.cloud.controller import CloudController, Settings, open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.launch import AddressPool
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.policies import PARAMETER
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.specs import Blobs
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.cluster.service import ClusterService
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds, node_id
from euca_rpc.images import tickets
from euca_rpc.images.client import hash_file
from euca_rpc.machines import BlobRef, CaptureOrder
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import NoNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.node.simulated import SimulatedHypervisor
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Granted, Held, Launch, LaunchClass, Placement
from euca_rpc.testing import checks, turnstile
from euca_rpc.testing.clients import Clients
from euca_rpc.testing.history import Broken, History, Host
from euca_rpc.testing.network import Network
from euca_rpc.testing.restless import Restless
from euca_rpc.testing.timeline import Killed, Process, Storm, Timeline
from euca_rpc.types import Caller, Image, Setting, Size, User
from euca_rpc.wire.contracts import CLOUD, CLUSTER, NODE, object_name

IMAGE = "emi-00000001"
OFFER = Size(4, 1536, 80)
TICKET_KEY = b"k" * 32
# between these points of a job nothing is locked: others may get their turn there
OPEN_POINTS = {"disk-made", "network-ready", "start-recorded", "started", "stopped", "undefined", "deleted"}
OPEN_POINTS |= {"copied", "copy-finished", "stored", "capture-done"}
_policies = lru_cache(maxsize=1)(lambda: load(["greedy", "round_robin", "least_full"]))


@dataclass(frozen=True, slots=True)
class Shape:
    zones: int = 2
    nodes: int = 2
    policy: str = "greedy"
    quota: int = 9  # instances per account: less than there is room for
    poll: int = polling.EVERY
    lease: Micros = 0  # 0: machines run as long as they are wanted
    restless: bool = False  # a policy evicts, drains, puts to sleep and wakes whatever there is
    queues: bool = False  # a policy lets launches wait now and then, and clients are ready to wait for room


class NoTrust:
    """No certificates in here; who may call whom is tested on the wire."""

    def token(self, role: str, zone: str, host: str) -> str:
        return "token"

    def revoke(self, role: str, zone: str, host: str) -> None:
        return

    def revoked(self) -> list[str]:
        return []

    def renew(self, role: str, zone: str, host: str, request_pem: str) -> str:
        return request_pem


class NoImages:
    def fetch(self, ref: BlobRef) -> Path:
        raise AssertionError("simulated machines boot nothing")


class ImageStore:
    """What the image server does for nodes, without the wire: a store ticket in, a receipt out.  It survives everything."""

    def __init__(self, clock: ManualClock, seed: int | str) -> None:
        self._clock = clock
        self._random = Random(f"store/{seed}")  # noqa: S311  repeatable on purpose
        self.trouble = 0.0  # probability that it does not answer, before or after it has stored
        self.stored: dict[str, set[str]] = {}  # image id → SHA-256 of what was stored as it
        self.receipts: list[str] = []

    def store(self, node: str, order: CaptureOrder, file: Path, format: str) -> str:
        facts = tickets.check(TICKET_KEY, order.ticket, tickets.STORE, self._clock.wall())
        if (facts["image_id"], facts["node"]) != (order.image_id, f"node/{node}"):
            raise EucaError("denied", "The ticket is for something else.")
        if self._random.random() < self.trouble:
            raise EucaError("unreachable", "The image server does not answer.")
        sha256, size = hash_file(file)
        self.stored.setdefault(order.image_id, set()).add(sha256)
        if self._random.random() < self.trouble:
            raise EucaError("unreachable", "The image server does not answer any more.")
        receipt: dict[str, str | int] = {
            "sha256": sha256,
            "bytes": size,
            "virtual_bytes": size,
            "format": format,
        }
        receipt |= {"kind": "machine", "architecture": str(facts["architecture"]), "image_id": order.image_id}
        self.receipts.append(
            tickets.issue(TICKET_KEY, tickets.RECEIPT, receipt, self._clock.wall() + 24 * HOUR)
        )
        return self.receipts[-1]


class World:
    def __init__(
        self, root: Path, seed: int | str, shape: Shape | None = None, *, resumed_at: Micros | None = None
    ) -> None:
        """``resumed_at``: a moment later than all that happened on this root before, which goes on there."""
        self.root, self.seed, self.shape = root, seed, shape or Shape()
        self.random = Random(f"world/{seed}")  # noqa: S311  repeatable on purpose
        self.timeline = Timeline(seed)
        self.clock: ManualClock = self.timeline.clock
        self.history = History(self.clock.now)
        self.network = Network(self.timeline, reported=self.history.reported)
        self.offers: dict[str, Size] = {}
        self.homes: dict[str, Path] = {}
        self.hypervisors: dict[str, SimulatedHypervisor] = {}
        self.wiped: set[str] = set()
        self.concurrency = 0.3  # of launches during which another client gets its turn
        self.interleaving = 0.2  # of a job's open points at which the world goes on in its middle
        self.store = ImageStore(self.clock, seed)
        self.restless = Restless()
        self._incarnations = 0
        self._depth = 0
        self._began = (time.perf_counter(), self.clock.at)  # only to tell the speed
        self.zones = [f"z{n}" for n in range(self.shape.zones)]
        self.clients = Clients(seed, self.history, self.clock.now, IMAGE, self.zones)
        self.clients.patient = 0.6 if self.shape.queues else 0.0
        self.cloud: CloudController
        self.admin: Caller
        if resumed_at is not None:
            self.clock.at = self.history.since = resumed_at
        self._set_up(fresh=resumed_at is None)

    # ---------------------------------------------------------------------------------------------- beginning
    def _set_up(self, fresh: bool) -> None:
        if fresh:
            self.root.mkdir(parents=True, exist_ok=True)
            bootstrap.initialise(
                self.root / "euca.db",
                self.clock,
                SeededIds(f"{self.seed}/init"),
                administrator="admin",
                zones=tuple(self.zones),
                account_instances=self.shape.quota,
            )
            Seal.create(self.root / "seal.key")
        self.start_cloud()
        journal = self.cloud.journal
        owner = accounts.find_user(journal.view, "admin")
        self.admin = accounts.caller_for(owner, "cli", "req-admin")
        if fresh:
            self._stock(owner)
        for name in ("ann", "bob"):
            user = accounts.find_user(journal.view, name)
            self.clients.callers.append(accounts.caller_for(user, "ec2", f"req-{name}"))
        for zone in self.zones:
            self.start_cluster(zone)
            for n in range(self.shape.nodes):
                self._place_node(zone, f"h{n}", fresh)
        self.run(8)

    def _stock(self, owner: User) -> None:
        journal, ids = self.cloud.journal, SeededIds(f"{self.seed}/users")
        image = Image(
            IMAGE, "machine", "test", owner.account_id, owner.id, "0" * 64, 1 << 20, 1 << 20, "raw", "x86_64"
        )
        journal.do(lambda view, now: Outcome((Put(image),)))
        for name in ("ann", "bob"):
            journal.do(accounts.add_user(self.admin, ids, name))
        if self.shape.lease:
            hours = {"lease.hours": self.shape.lease / HOUR, "lease.warn_hours": self.shape.lease / HOUR / 2}
            rows = tuple(Put(Setting(PARAMETER + name, json.dumps(value))) for name, value in hours.items())
            journal.do(lambda view, now: Outcome(rows))

    def _place_node(self, zone: str, host: str, fresh: bool) -> None:
        name = node_id(zone, host)
        place = self.root / zone / host
        self.offers[name], self.homes[name] = OFFER, place / "home"
        self.hypervisors[name] = SimulatedHypervisor(
            place / "host", clock=self.clock, ids=SeededIds(f"{self.seed}/{name}")
        )
        self.history.hosts[name] = Host(name, OFFER, place / "host" / "history.log")
        if fresh:
            self.cloud.journal.do(nodes.add(self.admin, zone, host))
        self.start_node(name)

    # -------------------------------------------------------------------------------------------- the processes
    def _process(self, name: str) -> Process:
        process = Process(self.timeline, name, self._died)
        self.network.processes[name] = process
        self._incarnations += 1
        return process

    def _died(self, process: Process) -> None:
        self.history.note(f"KILLED {process.name} after {process.points} points")
        service = process.service
        if isinstance(service, CloudController):
            service.store.close()
        elif isinstance(service, NodeService):
            service.close()
            with suppress(Broken):  # the verdict is kept
                checks.disks_are_there(self.history, self.homes, self.wiped)

    def _ids(self, name: str) -> SeededIds:
        return SeededIds(f"{self.seed}/{name}/{self._incarnations}")

    def start_cloud(self) -> None:
        process = self._process(object_name(CLOUD))
        store = Store(self.root / "euca.db")
        journal = Journal(store, open_view(store, self.clock.now()), self.clock, crash=process.point)
        plugins = {**_policies(), **load(["lease"])} if self.shape.lease else _policies()
        if self.shape.queues:
            plugins = {**plugins, "turnstile": turnstile}
        if self.shape.restless:
            plugins = {**plugins, "restless": self.restless}
        engine = Engine(plugins, cloud_policy=self.shape.policy, clock=self.clock, isolation=Inline())
        self.cloud = CloudController(
            store,
            journal,
            self.clock,
            self._ids(process.name),
            self.network.carrier(process),
            _Busy(EnginePlacer(engine, self.clock), self, process),
            Seal.load(self.root / "seal.key"),
            Settings(
                "cloud-1",
                Blobs("https://127.0.0.1:1", TICKET_KEY),
                AddressPool("127.31.0.0/26"),
                self.shape.poll,
                tends=engine,
            ),
        )
        process.service = self.cloud
        published = journal.published

        def judged(view: View, changes: Sequence[Change]) -> None:
            self.history.published(view)
            published(view, changes)

        journal.published = judged
        self.history.published(journal.view)
        process.drive(self.cloud)

    def start_cluster(self, zone: str) -> None:
        process = self._process(object_name(CLUSTER, zone))
        carrier = self.network.carrier(process)
        process.service = ClusterService(
            zone,
            carrier,
            self.clock,
            self._ids(process.name),
            poke=lambda: carrier.call(object_name(CLOUD), "poke", {}, lambda answer: None),
            wake_node=lambda node, mac: self.hypervisors[node].wake(self.random.randint(1, 30) * SECOND),
        )
        process.drive(process.service)

    def start_node(self, name: str) -> None:
        zone, _, host = name.partition("/")
        process = self._process(object_name(NODE, zone, host))
        carrier = self.network.carrier(process)
        process.service = NodeService(
            name,
            "cloud-1",
            self.homes[name],
            self.hypervisors[name],
            NoImages(),
            carrier,
            self.clock,
            self._ids(process.name),
            OfferSettings(*OFFER.parts()),
            NoNetwork(),
            poke=lambda: carrier.call(object_name(CLUSTER, zone), "poke", {}, lambda answer: None),
            disks=NoDisks(),
            store=partial(self.store.store, name),
            crash=lambda point: self._point(process, point),
            rest=self.hypervisors[name].sleep,
        )
        process.drive(process.service)

    def process(self, role: str, zone: str = "", host: str = "") -> Process:
        return self.network.processes[object_name(role, zone, host)]

    def node_process(self, name: str) -> Process:
        return self.process(NODE, *name.split("/"))

    def start(self, name: str) -> None:
        """Start the process of this name again, if it does not run."""
        if self.network.processes[name].alive:
            return
        self.history.note(f"STARTED {name}")
        parts = name.split(".")
        if parts[1] == CLOUD:
            self.start_cloud()
        elif parts[1] == CLUSTER:
            self.start_cluster(parts[2])
        else:
            self.start_node(node_id(parts[2], parts[3]))

    def _point(self, process: Process, name: str) -> None:
        process.point(name)
        if name in OPEN_POINTS and self._depth < 3 and self.random.random() < self.interleaving:
            self._depth += 1
            try:
                self.run(self.random.choice((0.1, 2, 8)))
            finally:
                self._depth -= 1
            if not process.alive:
                raise Killed(process)

    # ------------------------------------------------------------------------------------------------- going on
    def run(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        over = lambda: self.history.verdict is not None or enough()
        try:
            self.timeline.run(self.clock.at + int(seconds * SECOND), over)
        except Storm as storm:
            raise self.history.broken(str(storm)) from storm
        if self.history.verdict is not None:
            raise self.history.verdict
        if self.network.defects:
            raise self.history.broken(f"a defect: {self.network.defects[0]}")

    def request(self, rival: str = "") -> None:
        """One request by one client, if there is a cloud to ask; ``rival``: while this account's launch is placed."""
        process = self.process(CLOUD)
        process.guard(lambda: self.clients.act(self.cloud.core, rival))

    def administrate(self, verb: str, **args: Any) -> Any:
        context = Context(self.cloud, NoTrust(), Seal.load(self.root / "seal.key"))
        box: list[Any] = []
        self.process(CLOUD).guard(lambda: box.append(admin.call(context, self.admin, verb, args)))
        return box[0] if box else None

    @property
    def view(self) -> View:
        return self.cloud.journal.view

    @property
    def speed(self) -> float:
        """Simulated seconds per real one."""
        real, simulated = self._began
        return (self.clock.at - simulated) / SECOND / (time.perf_counter() - real)

    # -------------------------------------------------------------------------------------------------- judging
    def check(self) -> None:
        """Everything that holds at any moment."""
        self.history.follow()
        if not self.process(CLOUD).alive:
            return
        view, store, now = self.view, self.cloud.store, self.clock.now()
        checks.view_is_disk(self.history, view, store, now)
        checks.answers_hold(self.history, store)
        checks.usage_adds_up(self.history, store)
        checks.disks_are_there(self.history, self.homes, self.wiped)
        checks.nodes_never_go_back(self.history, self.homes)
        checks.leases_end(self.history, view, now)
        checks.nobody_is_pestered(self.history, self.network.sent)
        checks.waiting_holds_nothing(self.history, view)
        checks.everything_waits_for_something(self.history, view, now, 60 * SECOND)

    def close(self) -> None:
        for process in list(self.network.processes.values()):
            process.kill()
        for hypervisor in self.hypervisors.values():
            hypervisor.close()
        shutil.rmtree(self.root, ignore_errors=True)


class _Busy:
    """The real placer; between its proposal and the commit another client may get its turn."""

    def __init__(self, placer: EnginePlacer, world: World, process: Process) -> None:
        self._placer, self._world, self._process = placer, world, process
        self._nested = False

    def place(
        self,
        wanted: Launch,
        cls: LaunchClass,
        view: View,
        count_min: int,
        count_max: int,
        passed: Collection[str] = (),
    ) -> Placement | Held:
        proposal = self._placer.place(wanted, cls, view, count_min, count_max, passed)
        world = self._world
        if not self._nested and world.clients.callers and world.random.random() < world.concurrency:
            self._nested = True
            try:
                world.request(wanted.account_id)
            finally:
                self._nested = False
            if not self._process.alive:
                raise Killed(self._process)
        return proposal

    def lease(self, wanted: Launch, view: View) -> Granted | None:
        return self._placer.lease(wanted, view)

    def admit(self, wanted: Launch, view: View, passed: Collection[str] = ()) -> Held | None:
        return self._placer.admit(wanted, view, passed)

    def arranger(self, view: View) -> str:
        return self._placer.arranger(view)

    def arrange(self, launches: Sequence[Launch], view: View) -> list[tuple[str, ...]] | None:
        return self._placer.arrange(launches, view)


__all__ = ["Broken", "Shape", "World"]
