"""A node controller on a simulated host, one job at a time: the daemon may end and begin again, home and machines stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.clock import ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.machines import BlobRef, CaptureOrder
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import NoNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.node.simulated import SimulatedHypervisor


class QueueCarrier:
    """Jobs wait until they are told to run."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, Callable[[], Any], OnAnswer]] = []

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        raise AssertionError("a node calls nobody")

    def run(self, key: str, job: Callable[[], Any], on_answer: OnAnswer) -> None:
        self.jobs.append((key, job, on_answer))

    def one(self, nth: int = 0) -> str:
        """Run the first job of the ``nth`` key (modulo their number); its key."""
        firsts = list({key: place for place, (key, _, _) in reversed(list(enumerate(self.jobs)))}.values())
        key, job, on_answer = self.jobs.pop(sorted(firsts)[nth % len(firsts)])
        try:
            answer = Answer(job())
        except EucaError as error:
            answer = Answer(error=error)
        on_answer(answer)
        return key

    def settle(self) -> None:
        while self.jobs:
            self.one()


class NoImages:
    def fetch(self, ref: BlobRef) -> Path:
        raise AssertionError("simulated machines boot nothing")


class NodeHost:
    """``kill`` is asked at each crash point, and may raise; ``store`` takes what a capture made."""

    def __init__(self, root: Path, offer: OfferSettings | None = None, seed: int = 1) -> None:
        self.root = root
        self.clock, self.ids = ManualClock(), SeededIds(seed)
        self.offer = offer or OfferSettings(disk_gb=1000, reserve_memory_mb=0)
        self.hypervisor = SimulatedHypervisor(root / "host", clock=self.clock, ids=self.ids)
        self.pokes = 0
        self.node: NodeService | None = None
        self.boot()

    def boot(self) -> NodeService:
        """The daemon, begun anew."""
        if self.node is not None:
            self.node.close()
        self.carrier = QueueCarrier()
        self.node = NodeService(
            "west/one",
            "cloud-1",
            self.root / "home",
            self.hypervisor,
            NoImages(),
            self.carrier,
            self.clock,
            self.ids,
            self.offer,
            NoNetwork(),
            poke=self.poked,
            disks=NoDisks(),
            store=self.store,
            crash=self.kill,
        )
        return self.node

    def poked(self) -> None:
        self.pokes += 1

    def store(self, order: CaptureOrder, file: Path, format: str) -> str:
        raise AssertionError("nothing is captured here")

    def kill(self, point: str) -> None:
        """It lives on."""
