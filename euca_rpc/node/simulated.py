"""A hypervisor whose machines are lines in a file and whose faults are configuration.

`history.log` is an append-only file of JSON lines (start, stop, reboot, end, power); the state is the fold of its lines.
One write per change, so it survives kill -9 of the daemon at any point with state and history never in disagreement;
tests judge "none twice" from the same lines.  Anybody may append to it: `crash`, `power_off` and `lose_power` work from
another process too, and a running driver sees their lines at its next call.  1,000 machines cost a dictionary.

`faults.json` beside it (see `Faults`) is read again whenever it changes.  A configured slowness really waits, in the
carrier's thread that called: it stands for the time that real hypervisors take.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from euca_rpc.clock import Clock, Micros, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, SystemIds
from euca_rpc.node.hypervisor import Domain, DomainPlan, HostFacts, Mark
from euca_rpc.node.machine import Superseded, stand_in
from euca_rpc.node.marks import may_start, may_touch, not_running
from euca_rpc.types import End, Size


@dataclass(frozen=True, slots=True)
class Faults:
    unreachable: bool = False  # every call fails as if libvirtd were gone
    fail_starts: tuple[int, ...] = ()  # the n-th start that was ever asked here fails (1 = the first)
    fail_instances: tuple[str, ...] = ()  # starts of these fail
    fail_copies: tuple[str, ...] = ()  # copies of these machines' disks fail
    slow_seconds: float = 0.0  # every start, stop, reboot and copy takes this long


def write_faults(root: Path, faults: Faults) -> None:
    fresh = root / "faults.json.new"
    fresh.write_text(json.dumps(asdict(faults)))
    os.replace(fresh, root / "faults.json")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of history."""

    what: str  # "asked" "start" "stop" "reboot" "end" "power" "sleep" "wake"
    at: int
    instance: str = ""
    generation: int = 0
    cloud: str = ""
    node: str = ""
    size: list[int] = field(default_factory=list)
    end: str = ""
    boot: str = ""


def read_history(root: Path) -> list[Line]:
    """All lines so far, oldest first: what tests judge."""
    path = root / "history.log"
    return [Line(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


class SimulatedHypervisor:
    def __init__(
        self,
        root: Path,
        *,
        cores: int = 8,
        memory_mb: int = 16384,
        architecture: str = "x86_64",
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._clock: Clock = clock or SystemClock()
        self._ids: Ids = ids or SystemIds()
        self._host = HostFacts("simulated", architecture, cores, memory_mb, boot_id="")
        self._lock = threading.Lock()
        self._log = os.open(root / "history.log", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._read = 0
        self._domains: dict[str, Domain] = {}
        self._asked = 0
        self._boot = ""
        self._asleep = False
        self._wakes: int | None = None  # the moment from which it is awake again
        self._faults, self._faults_mark = Faults(), -1
        self._changed: Callable[[], None] = lambda: None
        with self._turn():
            if not self._boot:
                self._append(Line("power", self._clock.now(), boot=self._new_boot()))

    # -------------------------------------------------------------------------------- the Hypervisor protocol
    def facts(self) -> HostFacts:
        with self._turn():
            self._answer()
            return replace(self._host, boot_id=self._boot)

    def domains(self) -> list[Domain]:
        with self._turn():
            self._answer()
            return list(self._domains.values())

    def start(self, plan: DomainPlan) -> None:
        mark = plan.mark
        with self._turn():
            self._answer()
            if not may_start(self._domains.get(plan.name), mark):
                return
            self._append(Line("asked", self._clock.now(), mark.instance_id, mark.generation))
            fails = self._asked in self._faults.fail_starts or mark.instance_id in self._faults.fail_instances
        self._take_time()
        if fails:
            raise EucaError(
                "unavailable",
                f"The simulated hypervisor was configured to fail this start of {mark.instance_id}.",
            )
        with self._turn():
            if may_start(self._domains.get(plan.name), mark):
                self._append(_line("start", self._clock.now(), mark, list(plan.size.parts())))
        plan.console.parent.mkdir(parents=True, exist_ok=True)
        with plan.console.open("a") as console:
            console.write(f"simulated machine {mark.instance_id} generation {mark.generation} started\n")

    def stop(self, mark: Mark) -> None:
        with self._turn():
            self._answer()
            if may_touch(self._domains.get(mark.instance_id), mark, "stopped") is None:
                return
        self._take_time()
        with self._turn():
            found = may_touch(self._domains.get(mark.instance_id), mark, "stopped")
            if found is not None:
                self._append(_line("stop", self._clock.now(), found, [], End.ASKED))

    def reboot(self, mark: Mark) -> None:
        with self._turn():
            self._answer()
            there = self._domains.get(mark.instance_id)
            found = may_touch(there, mark, "reset")
            if found is None or there is None or not there.running:
                raise EucaError("state_conflict", f"{mark.instance_id} does not run, so it cannot be reset.")
            self._append(_line("reboot", self._clock.now(), found, []))
        self._take_time()

    def copy_root(self, mark: Mark, to: Path, wanted: Callable[[], bool]) -> None:
        for _ in range(2):  # before and after the time that it takes
            with self._turn():
                self._answer()
                there = self._domains.get(mark.instance_id)
                if may_touch(there, mark, "copied") is None or there is None or not there.running:
                    raise not_running(mark)
                if mark.instance_id in self._faults.fail_copies:
                    raise EucaError("unavailable", f"This copy of {mark.instance_id} was configured to fail.")
            if not wanted():
                raise Superseded
            self._take_time()
        stand_in(to, mark.instance_id)

    def listen(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def close(self) -> None:
        with self._lock:
            if self._log >= 0:
                os.close(self._log)
                self._log = -1

    # ------------------------------------------------------------------------------------------- what may happen
    def end(self, instance_id: str, end: str = End.CRASHED) -> None:
        """The machine ends by itself: End.CRASHED, or End.GUEST for a power-off from inside."""
        with self._turn():
            there = self._domains.get(instance_id)
            if there is not None and there.running and there.mark is not None:
                self._append(_line("end", self._clock.now(), there.mark, [], end))
        self._changed()

    def lose_power(self) -> None:
        """All machines are gone at once, and the host comes back with another boot id."""
        with self._turn():
            self._append(Line("power", self._clock.now(), boot=self._new_boot()))
        self._changed()

    def sleep(self) -> None:
        """The host sleeps: nothing answers until it was woken."""
        with self._turn():
            if not self._sleeps():
                self._append(Line("sleep", self._clock.now()))

    def wake(self, after: Micros = 0) -> None:
        """Awake ``after`` so long, if it sleeps."""
        with self._turn():
            if self._asleep and self._wakes is None:
                self._append(Line("wake", self._clock.now() + after))
        self._changed()

    def plant_foreign(self, name: str, size: Size) -> None:
        """A domain that is not ours: counted, never touched."""
        with self._turn():
            self._append(Line("start", self._clock.now(), name, size=list(size.parts())))

    # ---------------------------------------------------------------------------------------------- the log
    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process and one thread at a time writes the log; whoever has the turn has read all of it."""
        with self._lock:
            if self._log < 0:
                raise EucaError("unreachable", "The simulated hypervisor was closed.")
            fcntl.flock(self._log, fcntl.LOCK_EX)
            try:
                self._catch_up()
                yield
            finally:
                fcntl.flock(self._log, fcntl.LOCK_UN)

    def _append(self, line: Line) -> None:
        os.write(self._log, json.dumps(asdict(line)).encode() + b"\n")
        self._catch_up()

    def _catch_up(self) -> None:
        size = os.fstat(self._log).st_size
        if size > self._read:
            text = os.pread(self._log, size - self._read, self._read)
            whole = text.rfind(b"\n") + 1
            self._read += whole
            for line in text[:whole].splitlines():
                self._fold(Line(**json.loads(line)))

    def _fold(self, line: Line) -> None:
        if line.what == "sleep":
            self._asleep, self._wakes = True, None
        elif line.what == "wake":
            self._wakes = line.at
        elif line.what == "power":
            self._boot, self._asleep = line.boot, False
            for name, domain in self._domains.items():
                if domain.running and domain.mark is not None:
                    self._domains[name] = replace(domain, running=False, end=End.HOST)
        elif line.what == "asked":
            self._asked += 1
        elif line.what == "start":
            ours = Mark(line.cloud, line.node, line.instance, line.generation) if line.node else None
            self._domains[line.instance] = Domain(line.instance, ours, True, Size(*line.size))
        elif line.what == "stop":
            self._domains.pop(line.instance, None)
        elif line.what == "end" and line.instance in self._domains:
            self._domains[line.instance] = replace(self._domains[line.instance], running=False, end=line.end)

    def _answer(self) -> None:
        path = self._root / "faults.json"
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        if stamp != self._faults_mark:
            values: dict[str, Any] = json.loads(path.read_text()) if stamp else {}
            tuples: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
            self._faults, self._faults_mark = Faults(**tuples), stamp
        if self._sleeps():
            raise EucaError("unreachable", "The simulated host sleeps.")
        if self._faults.unreachable:
            raise EucaError("unreachable", "The simulated hypervisor was configured not to answer.")

    def _sleeps(self) -> bool:
        return self._asleep and (self._wakes is None or self._clock.now() < self._wakes)

    def _take_time(self) -> None:
        if self._faults.slow_seconds:
            time.sleep(self._faults.slow_seconds)

    def _new_boot(self) -> str:
        return f"{self._ids.bits(64):016x}"


def _line(what: str, at: int, mark: Mark, size: list[int], end: str = "") -> Line:
    return Line(what, at, mark.instance_id, mark.generation, mark.cloud_id, mark.node_id, size, end)
