"""A cloud controller on a real store, with the simplest placer, nobody behind it, and a clock that stands still."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import ManualClock
from euca_rpc.cloud import accounts, bootstrap, nodes, zones
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.controller import CloudController, Settings, open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.office import OfficeSettings
from euca_rpc.cloud.passwords import Cost
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.signup import Terms
from euca_rpc.cloud.specs import Blobs
from euca_rpc.cloud.store import Store
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.machines import NodeReport
from euca_rpc.policy.values import Placement
from euca_rpc.types import Caller, Image, Size
from euca_rpc.wire.codec import pack

sys.path.insert(0, str(Path(__file__).parent))


@dataclass
class Recorder:
    """A carrier that keeps calls until the test answers them."""

    calls: list[tuple[str, str, dict, Any]] = field(default_factory=list)

    def call(self, peer, method, args, on_answer):
        self.calls.append((peer, method, args, on_answer))

    def run(self, key, job, on_answer):
        on_answer(Answer(job()))

    def take(self, method):
        taken = [c for c in self.calls if c[1] == method]
        self.calls = [c for c in self.calls if c[1] != method]
        return taken


class FirstFit:
    def place(self, wanted, cls, view, count_min, count_max, passed=()):
        nodes_: list[str] = []
        for target in sorted(view.targets.values(), key=lambda t: t.id):
            if target.usable and (wanted.zone in (None, target.zone)):
                nodes_ += [target.id] * wanted.size.count_in(target.room)
        if len(nodes_) < count_min:
            raise EucaError("capacity_exhausted", f"{count_min} asked for, {len(nodes_)} free")
        return Placement(tuple(nodes_[:count_max]), "first-fit")

    def lease(self, wanted, view):
        return self.given

    def admit(self, wanted, view, passed=()):
        return None

    def arranger(self, view):
        return ""

    given = None  # a `Granted`, for tests of leases


@dataclass
class Bench:
    path: Path
    clock: ManualClock
    carrier: Recorder
    cloud: CloudController
    caller: Caller
    code: str = ""  # for the first log-in from elsewhere

    @property
    def view(self):
        return self.cloud.journal.view

    def add_node(self, zone="open", host="h1", cores=4, memory=2048, disk=100):
        if zone not in self.view.zones:
            self.cloud.journal.do(zones.add(self.caller, zone))
        self.cloud.journal.do(nodes.add(self.caller, zone, host))
        self.report(zone, host, size=Size(cores, memory, disk))

    def report(self, zone="open", host="h1", machines=(), size=None, boot="boot-1"):
        """One poll of the zone, answered with this node's report."""
        node = self.view.nodes[f"{zone}/{host}"]
        size = size or node.offer
        told = NodeReport(node.id, boot, "simulated", "x86_64", size, 1, tuple(machines))
        now = self.clock.now()
        entry = {"heard_at": now, "silent_since": None, "trouble": "", "version": 1, "report": pack(told)}
        self.answer(zone, {"zone": zone, "start_id": "s", "roster": True, "nodes": {node.id: entry}})

    def answer(self, zone, value=None, error=None):
        self.clock.advance(3_000_000)
        self.cloud.step()
        asked = [c for c in self.carrier.take("report") if c[0].endswith(zone)]
        assert asked, "the zone was not asked"
        asked[-1][3](Answer(value, error))


def open_bench(path: Path, seed="bench") -> Bench:
    clock = ManualClock()
    ids = SeededIds(seed)
    seal_path = path / "seal.key"
    code = ""
    if not seal_path.exists():
        code = bootstrap.initialise(path / "euca.db", clock, ids, administrator="admin", zones=("open",))
        seal = Seal.create(seal_path)
    else:
        seal = Seal.load(seal_path)
    store = Store(path / "euca.db")
    journal = Journal(store, open_view(store, clock.now()), clock)
    carrier = Recorder()
    office = OfficeSettings(
        "https://cloud.example.org:8443", "Cloud One", terms=Terms(most_waiting=20), cost=Cost(log2_n=2)
    )
    settings = Settings("cloud-1", Blobs("https://127.0.0.1:1", b"k" * 32), office=office)
    cloud = CloudController(store, journal, clock, ids, carrier, FirstFit(), seal, settings)
    user = accounts.find_user(journal.view, "admin")
    bench = Bench(path, clock, carrier, cloud, accounts.caller_for(user, "test", "req-1"), code)
    if "emi-00000001" not in journal.view.images:
        image = Image(
            "emi-00000001",
            "machine",
            "test",
            user.account_id,
            user.id,
            "0" * 64,
            1 << 20,
            1 << 20,
            "raw",
            "x86_64",
        )
        journal.do(lambda view, now: Outcome((Put(image),)))
    return bench


@pytest.fixture
def bench(tmp_path):
    opened = open_bench(tmp_path)
    yield opened
    opened.cloud.store.close()


@pytest.fixture
def reopen():
    """Close a bench and open another on the same disk: a restart."""

    def again(bench: Bench) -> Bench:
        bench.cloud.store.close()
        return open_bench(bench.path, seed="after-restart")

    return again
