"""Whatever is asked of a node, in any order and repetition, with crashes of everything in between:

* no generation is started twice, and none at or below a tombstone;
* nothing is deleted without a recorded absent, and nothing of another node is touched;
* once requests stop and the host is well, what is seen is what was asked last.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from euca_rpc.clock import HOUR, SECOND, ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import NoNetwork
from euca_rpc.node.record import LOG
from euca_rpc.node.service import NodeService
from euca_rpc.node.simulated import Faults, SimulatedHypervisor, read_history, write_faults
from euca_rpc.testing.node_host import NoImages, QueueCarrier
from euca_rpc.types import End
from euca_rpc.wire.codec import pack

IDS = ("i-0000000a", "i-0000000b")
GENERATIONS = st.integers(1, 4)
POINTS = (
    *("accepted", "disk-made", "network-ready", "start-recorded", "started"),
    *("stopped", "tombstoned", "undefined", "deleted", "reboot-recorded"),
    *("log-append", "log-appended", "log-sync", "log-synced"),
)


class Died(BaseException):
    """kill -9 of the daemon, or of its host."""


def spec(instance_id: str, generation: int, fresh: bool) -> dict[str, Any]:
    image = BlobRef("emi-00000001", "0" * 64, 1, 1, "raw", "")
    machine = MachineSpec(
        *(instance_id, generation, 0, fresh, "123456789012", 1, 64, 1, "x86_64", image, None, None),
        *("d0:0d:00:00:00:0a", "10.0.1.5", "127.31.0.5", "host"),
    )
    packed: dict[str, Any] = pack(machine)
    return packed


class Node(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.root = Path(self.folder.name)
        self.clock, self.ids = ManualClock(), SeededIds(7)
        self.hypervisor = SimulatedHypervisor(self.root / "host", clock=self.clock, ids=self.ids)
        self.node: NodeService | None = None
        self.die_at, self.with_host = "", False
        self.buried: dict[str, int] = {}  # what was accepted as absent: id → highest generation
        self.disks: set[str] = set()
        self.boot()

    def teardown(self) -> None:
        if getattr(self, "node", None) is not None:
            self.node.close()  # type: ignore[union-attr]
            self.hypervisor.close()
            self.folder.cleanup()

    def crash(self, point: str) -> None:
        if point == self.die_at:
            raise Died

    def boot(self) -> None:
        if self.node is not None:
            self.node.close()
        self.die_at = ""
        self.carrier = QueueCarrier()
        self.node = NodeService(
            *("west/one", "cloud-1", self.root / "home", self.hypervisor, NoImages(), self.carrier),
            *(self.clock, self.ids, OfferSettings(disk_gb=99), NoNetwork()),
            poke=lambda: None,
            disks=NoDisks(),
            crash=self.crash,
        )

    def cut_power(self) -> None:
        """Of the node's log only what was synced is left."""
        os.truncate(self.root / "home" / LOG, self.node._records.durable)  # type: ignore[union-attr]
        self.hypervisor.lose_power()
        self.boot()

    def live(self, what: Callable[[], Any]) -> Any:
        try:
            return what()
        except Died:
            self.cut_power() if self.with_host else self.boot()
        except EucaError as error:
            if error.symbol != "unreachable":
                raise
        return None

    # ----------------------------------------------------------------------------------------- what happens
    @rule(i=st.sampled_from(IDS), g=GENERATIONS, fresh=st.booleans())
    def ensure(self, i: str, g: int, fresh: bool) -> None:
        answer = self.live(lambda: self.node.ensure([spec(i, g, fresh)]))  # type: ignore[union-attr]
        if answer and g <= self.buried.get(i, 0):
            assert [refused["symbol"] for refused in answer["refused"]] == ["generation_old"]

    @rule(i=st.sampled_from(IDS), g=GENERATIONS)
    def stop(self, i: str, g: int) -> None:
        self.live(lambda: self.node.stop([{"instance_id": i, "generation": g}]))  # type: ignore[union-attr]

    @rule(i=st.sampled_from(IDS), g=GENERATIONS, keep=st.booleans())
    def absent(self, i: str, g: int, keep: bool) -> None:
        item = {"instance_id": i, "generation": g, "keep_disk": keep}
        answer = self.live(lambda: self.node.absent([item]))  # type: ignore[union-attr]
        if answer and not answer["refused"]:
            self.buried[i] = max(g, self.buried.get(i, 0))
        elif answer is None:  # it died, and may have written it before
            tombstone = self.node._tombstones.get(i)  # type: ignore[union-attr]
            self.buried[i] = max(tombstone.generation if tombstone else 0, self.buried.get(i, 0))

    @rule(i=st.sampled_from(IDS), g=GENERATIONS, n=st.integers(1, 3))
    def reboot(self, i: str, g: int, n: int) -> None:
        item = {"instance_id": i, "generation": g, "reboots": n}
        self.live(lambda: self.node.reboot([item]))  # type: ignore[union-attr]

    @rule(n=st.integers(0, 5))
    def work(self, n: int) -> None:
        if self.carrier.jobs:
            self.live(lambda: self.carrier.one(n))

    @rule()
    def step(self) -> None:
        self.clock.advance(6 * SECOND)
        self.live(lambda: self.node.step())  # type: ignore[union-attr]

    @rule()
    def report(self) -> None:
        self.live(lambda: self.node.report())  # type: ignore[union-attr]

    @rule(n=st.integers(0, 5))
    def report_while_working(self, n: int) -> None:
        """A job ends between the look at the hypervisor and its use."""
        look = self.hypervisor.domains

        def domains() -> Any:
            del self.hypervisor.domains
            listed = look()
            if self.carrier.jobs:
                self.carrier.one(n)
            return listed

        self.hypervisor.domains = domains  # type: ignore[method-assign]
        try:
            self.live(lambda: self.node.report())  # type: ignore[union-attr]
        finally:
            self.hypervisor.__dict__.pop("domains", None)

    @rule(point=st.sampled_from(POINTS), with_host=st.booleans())
    def will_die_at(self, point: str, with_host: bool) -> None:
        self.die_at, self.with_host = point, with_host

    @rule()
    def kill(self) -> None:
        self.boot()

    @rule(i=st.sampled_from(IDS), end=st.sampled_from([End.GUEST, End.CRASHED]))
    def machine_ends(self, i: str, end: End) -> None:
        self.hypervisor.end(i, end)

    @rule()
    def power_fails(self) -> None:
        self.cut_power()

    @rule(down=st.booleans(), failing=st.booleans())
    def faults(self, down: bool, failing: bool) -> None:
        write_faults(self.root / "host", Faults(unreachable=down, fail_instances=IDS[:1] if failing else ()))

    @rule()
    def time_passes(self) -> None:
        self.clock.advance(2 * HOUR)

    # ------------------------------------------------------------------------------------------ the promises
    @invariant()
    def never_twice_and_never_after_a_tombstone(self) -> None:
        if not hasattr(self, "root"):
            return
        started: dict[str, list[int]] = {}
        for line in read_history(self.root / "host"):
            if line.what == "start":
                started.setdefault(line.instance, []).append(line.generation)
        for generations in started.values():
            assert generations == sorted(set(generations)), (
                "a generation was started twice, or after a newer one"
            )

    @invariant()
    def nothing_is_deleted_without_a_recorded_absent(self) -> None:
        if not hasattr(self, "root"):
            return
        home = self.root / "home"
        for path in home.glob("instances/*/disk.none"):
            self.disks.add(path.parent.name)
        for i in self.disks:
            there = (home / "instances" / i / "disk.none").exists() or list(home.glob(f"set-aside/{i}-*"))
            assert there or i in self.buried, f"the disk of {i} went without a recorded absent"

    @rule()
    def calm(self) -> None:
        """Requests stop, the host is well: everything settles, and repeating it changes nothing."""
        write_faults(self.root / "host", Faults())
        self.die_at = ""
        for _ in range(6):
            self.clock.advance(6 * SECOND)
            self.node.step()  # type: ignore[union-attr]
            while self.carrier.jobs:
                self.carrier.one(0)
        report = self.node.report()  # type: ignore[union-attr]
        for machine in report["machines"]:
            # nothing: accepted before a power cut; it waits to be asked again
            assert machine["seen"] in ("running", "stopped", "failed", "absent", "nothing"), machine
        running = {
            (d.mark.instance_id, d.mark.generation) for d in self.hypervisor.domains() if d.running and d.mark
        }
        told = {(m["instance_id"], m["generation"]) for m in report["machines"] if m["seen"] == "running"}
        assert told == running
        assert self.node.report(known=report["version"]) == {"same": report["version"]}  # type: ignore[union-attr]


TestNode = Node.TestCase
TestNode.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
