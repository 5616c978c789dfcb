"""The interleaved rounds.

    A B · B A · A B …      A = euca-rpc, B = moto; the same bytes to both, each half alone with the machine

Who goes first changes with every round, so that a drift of the machine hits both.  A launch round of euca-rpc is over
for the clock when the last answer is there (and durable), but the other's turn comes only when all its machines run:
what euca-rpc still does behind its answers is not charged to moto.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .figures import Side
from .load import Job, Result, receive, send
from .servers import ROOT, Euca, Moto
from .signed import Signer

INSTANCE = re.compile(rb"<instanceId>(i-[0-9a-f]+)</instanceId>")
WARMING = 10  # requests of the round that is not counted
SETTLE = 60.0  # seconds for all machines to run


class Generator:
    """The process of `load.py`."""

    def __enter__(self) -> Generator:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def run(self, port: int, requests: list[bytes], connections: int = 1, keep: bool = False) -> Result:
        send(self._process.stdin, Job("127.0.0.1", port, requests, connections, keep))
        result = receive(self._process.stdout)
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, Result)
        if result.refused:
            number, (status, body) = next(iter(result.refused.items()))
            raise RuntimeError(
                f"{len(result.refused)} of {len(requests)} requests were refused; number {number} with {status}: "
                f"{body[:500]!r}"
            )
        return result


@dataclass(frozen=True)
class Workload:
    name: str
    make: Callable[[int], list[bytes]] = field(repr=False)  # so many signed requests
    connections: int
    ours: int  # requests in euca-rpc's half of a round
    theirs: int
    rounds: int
    instances: int = 0  # how many a DescribeInstances answers
    launches: bool = False


@dataclass
class Outcome:
    workload: Workload
    euca: Side = field(default_factory=Side)
    moto: Side = field(default_factory=Side)
    all_running: Side = field(default_factory=Side)  # launches: until the last machine runs


class Arena:
    def __init__(self, generator: Generator, euca: Euca, moto: Moto, signer: Signer) -> None:
        self.generator, self.euca, self.moto, self.signer = generator, euca, moto, signer

    def measure(self, workload: Workload) -> Outcome:
        outcome = Outcome(workload)
        for number in range(-1, workload.rounds):  # round −1 warms both up and is not counted
            most = max(workload.ours, workload.theirs)
            requests = workload.make(most if number >= 0 else min(most, WARMING))
            halves = [self._ours, self._theirs]
            for half in halves if number % 2 == 0 else reversed(halves):
                half(outcome, requests, number >= 0)
        return outcome

    def _ours(self, outcome: Outcome, requests: list[bytes], counted: bool) -> None:
        workload = outcome.workload
        requests = requests[: workload.ours]
        began = time.perf_counter()
        result = self.generator.run(self.euca.port, requests, workload.connections)
        if workload.launches:
            self.settle()
        took = time.perf_counter() - began
        if counted:
            _count(outcome.euca, workload, result)
            if workload.launches:
                outcome.all_running.add(len(requests) / took, [], 0)

    def _theirs(self, outcome: Outcome, requests: list[bytes], counted: bool) -> None:
        workload = outcome.workload
        requests = requests[: workload.theirs]
        result = self.generator.run(self.moto.port, requests, workload.connections)
        if counted:
            _count(outcome.moto, workload, result)

    def populate(self, requests: list[bytes], connections: int = 4) -> None:
        """The same launches to both, not measured."""
        for port in (self.euca.port, self.moto.port):
            self.generator.run(port, requests, connections)
        self.settle()

    def settle(self) -> None:
        settle(self.generator, self.euca.port, self.signer)


def settle(generator: Generator, port: int, signer: Signer) -> None:
    """Until every machine that ``signer`` may see runs."""
    until = time.monotonic() + SETTLE
    request = signer.pending()
    while True:
        body = generator.run(port, [request]).bodies[0]
        pending = body.count(b"<instanceId>")
        if not pending:
            return
        if time.monotonic() > until:
            raise TimeoutError(f"{pending} machines are not running after {SETTLE:g} s")
        time.sleep(0.05)


@dataclass
class Half:
    """One of two ways to have the same done; ``make`` answers so many signed requests."""

    port: int
    make: Callable[[int], list[bytes]] = field(repr=False)
    after: Callable[[], None] = lambda: None  # before the other's turn
    side: Side = field(default_factory=Side)


def duel(generator: Generator, one: Half, other: Half, count: int, rounds: int) -> None:
    """Over one connection each, interleaved like everything else."""
    for number in range(-1, rounds):
        halves = [one, other]
        for half in halves if number % 2 == 0 else reversed(halves):
            requests = half.make(count if number >= 0 else min(count, WARMING))
            result = generator.run(half.port, requests)
            half.after()
            if number >= 0:
                size = result.received // len(requests)
                half.side.add(len(requests) / result.seconds, result.latencies, size)


def _count(side: Side, workload: Workload, result: Result) -> None:
    for body in result.bodies.values():
        seen = len(set(INSTANCE.findall(body)))
        if workload.instances and seen != workload.instances:
            raise RuntimeError(f"{workload.name}: {seen} instances in an answer, not {workload.instances}")
    count = len(result.latencies)
    side.add(count / result.seconds, result.latencies, result.received // count)


def ceiling(generator: Generator, size: int, connections: int, requests: list[bytes]) -> float:
    """What the generator does at best: the same requests, answers of the same size from a server that does nothing."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.trivial", str(size)], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        best = 0.0
        for _ in range(3):
            best = max(best, len(requests) / generator.run(port, requests, connections).seconds)
        return best
    finally:
        server.kill()
        server.wait()


def scratch() -> Path:
    """A short path: libvirt's sockets lie below it."""
    return Path(os.environ.get("TMPDIR", "/tmp"))
