"""A carrier that loses, delays, repeats and reorders; the calls themselves are made on the real objects.

For every call: is the request lost?  delayed, by how much?  delivered twice?  is the peer dead, or its link cut?  is the
answer lost or late?  The caller hears `unreachable` when the contract's time is over, and may hear a late answer after
that, or the same answer twice: the real carrier answers once, so this one is harsher than life.

Delays now and then exceed the 2 s between two polls and the 5 s before a call is repeated; shorter ones would never let
an old message meet a newer state.  Arguments and answers go through msgpack, as on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgpack

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.errors import EucaError
from euca_rpc.testing.timeline import Process, Timeline
from euca_rpc.wire.contracts import BY_OBJECT, CLOUD, CLUSTER, NODE, role_of

SLOWEST_JOB = 900.0  # seconds, in the worst weather


@dataclass
class Weather:
    """How bad it is now; all are probabilities."""

    request_lost: float = 0.04
    answer_lost: float = 0.04
    twice: float = 0.05
    late: float = 0.05
    latest: float = 25.0  # seconds: more than any poll, backoff and timeout
    slow_job: float = 0.05
    slowest_job: float = 60.0

    @staticmethod
    def fair() -> Weather:
        return Weather(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sent:
    """One call that a process made: what history is judged from."""

    at: int
    peer: str
    method: str
    args: Any
    process: Process


@dataclass(frozen=True, slots=True)
class From:
    """Who calls, as its certificate says."""

    zone: str
    host: str


@dataclass
class Network:
    timeline: Timeline
    weather: Weather = field(default_factory=Weather)
    processes: dict[str, Process] = field(default_factory=dict)  # the running one of each name
    cut: set[str] = field(default_factory=set)  # names of clusters and nodes whose link upwards is cut
    sent: list[Sent] = field(default_factory=list)
    falsify: Callable[[str, str, Any], Any] = lambda peer, method, value: value  # a node that lies
    reported: Callable[[Any], None] = lambda value: None  # told what a node really says
    defects: list[str] = field(default_factory=list)

    def carrier(self, process: Process) -> SimulatedCarrier:
        return SimulatedCarrier(self, process)

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.timeline.random.random() < probability

    def delay(self) -> float:
        if self.chance(self.weather.late):
            return self.timeline.random.uniform(0.5, self.weather.latest)
        return self.timeline.random.uniform(0.001, 0.05)

    def job_time(self) -> float:
        if self.chance(self.weather.slow_job):
            return self.timeline.random.uniform(3, self.weather.slowest_job)
        return self.timeline.random.uniform(0.05, 1.5)

    def reached(self, caller: str, peer: str) -> Process | None:
        """The process behind ``peer``; calls go down, pokes up, so the link's name is the lower one's."""
        lower = (
            caller if role_of(peer) == CLOUD or (role_of(peer) == CLUSTER and ".node." in caller) else peer
        )
        process = self.processes.get(peer)
        return process if process is not None and process.alive and lower not in self.cut else None


class SimulatedCarrier:
    """`carrier.Carrier` for one process."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network, self._process = network, process
        self._lanes: dict[str, deque[tuple[Callable[[], Any], OnAnswer]]] = {}

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        network, process = self._network, self._process
        contract = BY_OBJECT[role_of(peer), method]
        plain = msgpack.packb(args)
        network.sent.append(Sent(network.timeline.now(), peer, method, args, process))
        heard = False
        point = f"{process.name} {method} {peer}"
        network.timeline.met(f"{point}: called")

        def hear(answer: Answer) -> None:
            nonlocal heard
            heard = True
            on_answer(answer)

        def give_up() -> None:
            if not heard:
                hear(_silent(peer, f"did not answer within {contract.timeout:g} s"))

        def arrive() -> None:
            target = network.reached(process.name, peer)
            if target is None:
                if network.chance(0.5):  # refused at once; otherwise only the timeout tells
                    process.after(network.delay(), lambda: None if heard else hear(_silent(peer, "refused")))
                return
            target.guard(lambda: self._execute(target, peer, method, msgpack.unpackb(plain), answered))

        def answered(answer: Answer) -> None:
            network.timeline.met(f"{point}: done")
            if network.chance(network.weather.answer_lost) or network.reached(process.name, peer) is None:
                return
            for _ in range(2 if network.chance(network.weather.twice) else 1):
                process.after(network.delay(), lambda: hear(answer))

        for _ in range(2 if network.chance(network.weather.twice) else 1):
            if not network.chance(network.weather.request_lost):
                network.timeline.after(network.delay(), arrive)
        process.after(contract.timeout, give_up)

    def _execute(
        self, target: Process, peer: str, method: str, args: dict[str, Any], answered: OnAnswer
    ) -> None:
        if method == "poke":
            parts = self._process.name.split(".")
            to_cloud = role_of(peer) == CLOUD
            args = {"zone": parts[2]} if to_cloud else {"peer": From(parts[2], parts[3])}
        answer = self.outcome(f"{peer} {method}", lambda: getattr(target.service, method)(**args))
        if isinstance(answer.value, Future):
            answer.value.add_done_callback(lambda done: answered(_of_future(done)))
            return
        if answer.error is None:
            if method == "report" and role_of(peer) == NODE:
                self._network.reported(answer.value)
            value = self._network.falsify(peer, method, answer.value)
            answer = Answer(msgpack.unpackb(msgpack.packb(value)))
        answered(answer)

    def run(self, key: str, job: Callable[[], Any], on_answer: OnAnswer) -> None:
        lane = self._lanes.setdefault(key, deque())
        lane.append((job, on_answer))
        if len(lane) == 1:
            self._start(key)

    def _start(self, key: str) -> None:
        self._process.after(self._network.job_time(), lambda: self._work(key))

    def _work(self, key: str) -> None:
        lane = self._lanes[key]
        job, on_answer = lane[0]
        on_answer(self.outcome(f"{self._process.name} {key}", job))
        lane.popleft()
        if lane:
            self._start(key)
        else:
            del self._lanes[key]

    def outcome(self, what: str, job: Callable[[], Any]) -> Answer:
        try:
            return Answer(job())
        except EucaError as error:
            return Answer(error=EucaError.from_wire(error.to_wire()))
        except AssertionError:
            raise  # a verdict
        except Exception as error:
            self._network.defects.append(f"{what}: {type(error).__name__}: {error}")
            return Answer(error=EucaError("internal", f"{what}: {type(error).__name__}"))


def _silent(peer: str, why: str) -> Answer:
    return Answer(error=EucaError("unreachable", f"{peer} {why}"))


def _of_future(done: Future[Any]) -> Answer:
    error = done.exception()
    if isinstance(error, EucaError):
        return Answer(error=error)
    return Answer(done.result())
