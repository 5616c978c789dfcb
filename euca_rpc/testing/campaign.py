"""One seed's history: clients and faults for a while, then quiet, then the end of everything.

    weather and faults ── busy ──► all repaired ── quiet: everything settles ──► terminate all ── capacity is back

Faults are things that happen to real sites: daemons are killed (also at a crash point in the middle of something) and
come back, hosts lose power, links are cut, guests power themselves off, nodes lie or forget to mention a machine, an
administrator drains, or fences a host that is off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from euca_rpc.clock import MINUTE, SECOND, Micros
from euca_rpc.cloud import lifecycle
from euca_rpc.testing import checks
from euca_rpc.testing.captures import Photographer
from euca_rpc.testing.history import Broken
from euca_rpc.testing.network import SLOWEST_JOB, Weather
from euca_rpc.testing.world import IMAGE, Shape, World
from euca_rpc.types import Caller, End, Instance, LaunchRequest
from euca_rpc.wire.contracts import CLOUD, NODE, object_name

CHECK_EVERY = 60.0
PATIENCE = 3600.0  # simulated seconds in which everything must have settled
THEMES = ("vanish", "flap", "bounce", "give up", "reboot", "lose")  # of seed 0, 1, 2, 3, 4, 5, 6 …
POLICIES = ("greedy", "round_robin", "least_full")


class Campaign:
    def __init__(
        self,
        root: Path,
        seed: int,
        *,
        minutes: float = 13,
        faults_every: float = 25,
        captures: bool = False,
        lease: Micros = 0,
        queues: bool = False,
        restless: bool = False,
    ) -> None:
        self.random = r = Random(f"campaign/{seed}")  # noqa: S311  repeatable on purpose
        self.seed = seed
        shape = Shape(
            r.choice((1, 2, 2)),
            r.choice((2, 3)),
            r.choice(POLICIES),
            r.choice((3, 6, 9)),
            lease=lease,
            queues=queues,
            restless=restless,
        )
        self.world = World(root, seed, shape)
        self.photographer: Photographer | None = None
        self._captures = captures
        self._minutes, self._faults_every = minutes, faults_every
        self._busy = True
        self._off: set[str] = set()  # nodes whose host has no power
        self._vanished = ""  # the link that nobody mends before all is repaired
        self._restore: list[Callable[[], None]] = []

    # -------------------------------------------------------------------------------------------------- the whole
    def run(self) -> World:
        """Raises `Broken`, with the seed and the story."""
        try:
            self._run()
        except Broken as broken:
            raise Broken(f"seed {self.seed}: {broken}") from broken
        return self.world

    def _run(self) -> None:
        world = self.world
        world.network.falsify = self._falsify
        if self._captures:
            self.photographer = Photographer(world, self.seed)
        self._client()
        self._fault()
        self._theme()
        end = world.clock.at + int(self._minutes * MINUTE)
        while world.clock.at < end:
            world.run(CHECK_EVERY)
            world.check()
            if self.photographer is not None:
                self.photographer.check()
        self._repair()
        self._settle("everything settles")
        checks.all_is_settled(world.history, world.view)
        if self.photographer is not None:
            self.photographer.check_settled()
        self._terminate_all()
        self._settle("everything is terminated")
        checks.all_is_settled(world.history, world.view)
        checks.capacity_is_back(world.history, world.view, world.offers)
        world.check()

    def _settle(self, what: str) -> None:
        world = self.world
        world.history.note(f"now {what}")
        for _ in range(20):  # until it is quiet and stays so: some news takes its time
            world.run(PATIENCE / 20, self._quiet)
            number, events = len(world.history.ledger), sum(map(len, world.history.ledger.values()))
            world.run(90)
            if self._quiet() and (number, events) == (
                len(world.history.ledger),
                sum(map(len, world.history.ledger.values())),
            ):
                break
        world.check()

    def _quiet(self) -> bool:
        view = self.world.view
        return not (view.unsettled or view.captures or view.waiting_rows or view.resting)

    def _terminate_all(self) -> None:
        world = self.world
        alive = tuple(sorted(i.id for i in world.view.instances.values() if i.ended_at is None))
        if alive:
            world.clients.ask(world.cloud.core, world.admin, "terminate", alive)

    # ---------------------------------------------------------------------------------------------- going on at once
    def _client(self) -> None:
        if self._busy:
            self.world.request()
            self.world.timeline.after(self.random.expovariate(1 / 6), self._client)

    def _fault(self) -> None:
        if not self._busy:
            return
        faults: dict[Callable[[], object], int] = {
            self._kill: 5,
            self._doom: 6,
            self._lose_power: 3,
            self._cut: 4,
            self._guest: 5,
            self._fence: 1,
            self._drain: 1,
            self._weather: 2,
            self._lie: 3,
        }
        self.random.choices(list(faults), list(faults.values()))[0]()
        self.world.timeline.after(self.random.expovariate(1 / self._faults_every), self._fault)

    def _theme(self) -> None:
        """What chance alone would bring together too seldom."""
        themes: dict[str, Callable[[], None]] = {
            "vanish": self._vanish,
            "flap": self._flap,
            "bounce": self._bounce,
            "give up": self._give_up,
            "reboot": self._reboot,
            "lose": self._lose,
        }
        name = THEMES[self.seed % len(THEMES)]
        for n in range(3):
            self.world.timeline.after(20 + 15 * n, themes[name])
        if name == "reboot":  # so late that nobody's later wish sends it along
            self.world.timeline.after(self._minutes * 60 - 120, self._make_ready)
            self.world.timeline.after(self._minutes * 60 - 5, self._reboot)

    def _given(self, caller: Caller | None = None) -> Instance | None:
        """A machine that was launched at this very moment; its node is told at its `next_try`, a little later."""
        world = self.world
        caller = caller or world.clients.callers[1]
        request = LaunchRequest(IMAGE, vm_type="m1.small")
        told: list[str] = []
        world.process(CLOUD).guard(
            lambda: told.extend(world.clients.launch(world.cloud.core, caller, request))
        )
        row = world.view.instances[told[0]] if told else None
        return None if row is None or lifecycle.waits(row) else row

    def _when_told(self, row: Instance, seconds: float, job: Callable[[], object]) -> None:
        self.world.timeline.at(row.next_try + int(seconds * SECOND), job)

    def _vanish(self) -> None:
        """A node is cut off for longer than any deadline just when it was given a machine."""
        row = self._given(self.world.admin)  # no client ends it before its deadline does
        if row is not None:
            self.world.history.note(f"LINK of {row.node} cut for long")
            link = object_name(NODE, *row.node.split("/"))
            self._vanished = self._vanished or link
            self._when_told(row, 0.0005, lambda: self.world.network.cut.add(link))

    def _give_up(self) -> None:
        """A host loses power just when it was given a machine, and is fenced."""
        row = self._given()
        if row is not None:
            self._when_told(row, 0.4, lambda: self._fence(row.node))

    def _lose(self) -> None:
        """The cloud controller dies in the middle of a launch: its client never hears what became of it."""
        cloud = object_name(CLOUD)
        self.world.start(cloud)
        self.world.process(CLOUD).doomed = 1
        self._given()
        self._later(3, lambda: self.world.start(cloud))

    def _flap(self) -> None:
        """One machine dies again and again."""
        running = sorted(self.world.history.runs())
        for n in range(7):
            if running:
                self.world.timeline.after(5 + 40 * n, lambda: self._end(running[0], End.CRASHED))

    def _end(self, instance: str, end: End) -> None:
        self.world.history.follow()
        there = self.world.history.runs().get(instance)
        if there is not None and self._busy:
            self.world.hypervisors[there[0]].end(instance, end)

    def _bounce(self) -> None:
        """Machines are stopped and started again at once, while messages are late."""
        world = self.world
        world.network.weather = Weather(0, 0, 0.5, 0.2, latest=15)
        self._given()
        self._later(120, self._calm)
        caller = world.clients.callers[1]

        def ask(what: str) -> None:
            if self._busy:
                for id_ in world.clients.mine.get(caller.account_id, [])[-3:]:
                    world.process(CLOUD).guard(
                        lambda i=id_: world.clients.ask(world.cloud.core, caller, what, (i,))  # type: ignore[misc]
                    )

        for n in range(3, 60, 3):
            world.timeline.after(n, lambda what=("stop", "start")[n % 2]: ask(what))  # type: ignore[misc]

    def _reboot(self) -> None:
        """Whatever is known to run is rebooted, while every other message is lost."""
        world = self.world
        world.start(object_name(CLOUD))
        world.network.weather = Weather(request_lost=0.5, answer_lost=0.2)
        self._later(40, self._calm)
        for id_ in sorted(world.history.runs()):
            if lifecycle.state(world.view.instances[id_]) == lifecycle.RUNNING:
                world.process(CLOUD).guard(
                    lambda i=id_: world.clients.ask(world.cloud.core, world.admin, "reboot", (i,))  # type: ignore[misc]
                )

    def _make_ready(self) -> None:
        """Fair weather, all are at work, and there are machines."""
        world = self.world
        self._calm()
        world.network.cut.clear()
        for name in list(world.network.processes):
            if not self._host_off(name):
                world.start(name)
        for _ in range(3):
            self._given()

    def _later(self, seconds: float, job: Callable[[], None]) -> None:
        """A repair: done in its time, or when all is repaired."""
        self._restore.append(job)

        def due() -> None:
            if job in self._restore:
                self._restore.remove(job)
                job()

        self.world.timeline.after(seconds, due)

    def _repair(self) -> None:
        self._busy = False
        self.world.restless.still = True
        if self.photographer is not None:
            self.photographer.stop()
        self._lies = 0
        world = self.world
        world.history.note("ALL IS REPAIRED")
        world.network.weather = Weather.fair()
        world.network.cut.clear()
        for process in world.network.processes.values():
            process.doomed = None
        for job in list(self._restore):
            job()
        self._restore.clear()
        for name in list(world.network.processes):
            world.start(name)

    # ------------------------------------------------------------------------------------------------------- faults
    def _any_process(self) -> str:
        names = [n for n in self.world.network.processes if not self._host_off(n)]
        return self.random.choice([object_name(CLOUD), *names])

    def _host_off(self, process: str) -> bool:
        parts = process.split(".")
        return len(parts) == 4 and "/".join(parts[2:]) in self._off

    def _down(self, name: str) -> None:
        seconds = self.random.choice((0.5, 3, 20, 60, 200))
        self._later(seconds, lambda: None if self._host_off(name) else self.world.start(name))

    def _kill(self) -> None:
        name = self._any_process()
        self.world.network.processes[name].kill()
        self._down(name)

    def _doom(self) -> None:
        """It dies in the middle of something."""
        name = self._any_process()
        process = self.world.network.processes[name]
        if process.alive and process.doomed is None:
            process.doomed = self.random.randint(1, 12)
            for seconds in (20, 120):
                self._later(seconds, lambda: None if self._host_off(name) else self.world.start(name))

    def _lose_power(self, name: str = "") -> str | None:
        on = [n for n in self.world.homes if n not in self._off and name in ("", n)]
        if not on:
            return None
        name = self.random.choice(on)
        self._off.add(name)
        self.world.history.note(f"POWER of {name} lost")
        self.world.node_process(name).kill()
        self.world.hypervisors[name].lose_power()
        self.world.history.follow()

        def back() -> None:
            self._off.discard(name)
            self.world.start(self.world.node_process(name).name)

        self._later(self.random.choice((20, 90, 300)), back)
        return name

    def _cut(self) -> None:
        lower = [n for n in self.world.network.processes if n != object_name(CLOUD)]
        name = self.random.choice(lower)
        self.world.network.cut.add(name)
        self.world.history.note(f"LINK of {name} cut")

        def mended() -> None:
            if name == self._vanished and self._busy:
                return
            self.world.network.cut.discard(name)
            self.world.history.note(f"LINK of {name} mended")

        self._later(self.random.choice((3, 15, 60, 400, 800)), mended)

    def _guest(self) -> None:
        self.world.history.follow()
        running = [(n, i) for i, (n, _) in sorted(self.world.history.runs().items())]
        if running:
            node, instance = self.random.choice(running)
            end = self.random.choice((End.GUEST, End.CRASHED, End.CRASHED))
            self.world.hypervisors[node].end(instance, end)

    def _fence(self, name: str = "") -> None:
        """The host is off and stays off until the fence is over: then it is an empty node that is added again."""
        world = self.world
        name = self._lose_power(name) or ""
        if not name or not world.process(CLOUD).alive:
            return
        back = self._restore.pop()
        returned: list[bool] = []

        def fence() -> None:
            if not world.process(CLOUD).alive:
                return
            world.history.note(f"FENCE {name}")
            world.history.fenced[name] = world.clock.at
            world.administrate("node_fence", name=name)

        def come_back() -> None:
            if returned:
                return
            returned.append(True)
            back()
            if world.view.nodes[name].admin_state == "fenced":
                world.start(object_name(CLOUD))
                zone, _, host = name.partition("/")
                world.history.note(f"ADDED again {name}")
                world.administrate("node_add", zone=zone, host=host)

        world.timeline.after(self.random.choice((5, 30)), lambda: None if returned else fence())
        self._later(self.random.choice((100, 240)), come_back)

    def _drain(self) -> None:
        world = self.world
        name = self.random.choice(list(world.homes))
        if not world.process(CLOUD).alive or world.view.nodes[name].admin_state != "active":
            return
        world.history.note(f"DRAIN {name}")
        world.administrate("node_drain", name=name)

        def over() -> None:
            world.start(object_name(CLOUD))
            if world.view.nodes[name].admin_state == "drained":
                world.administrate("node_undrain", name=name)

        self._later(60, over)

    def _weather(self) -> None:
        r = self.random
        self.world.network.weather = Weather(
            r.choice((0, 0.05, 0.2)),
            r.choice((0, 0.05, 0.2)),
            r.choice((0, 0.05, 0.3)),
            r.choice((0, 0.05, 0.3)),
        )
        if r.random() < 0.15:  # images come slowly: deadlines pass
            self.world.network.weather.slow_job, self.world.network.weather.slowest_job = 0.5, SLOWEST_JOB
        self._later(90, self._calm)

    def _calm(self) -> None:
        self.world.network.weather = Weather()

    def _lie(self) -> None:
        self._liar = self.random.choice(list(self.world.homes))
        self._lies = self.random.randint(1, 3)
        self.world.history.note(f"LIES of {self._liar} begin")

    _liar, _lies = "", 0

    def _falsify(self, peer: str, method: str, value: object) -> object:
        if (
            method != "report"
            or not self._lies
            or not isinstance(value, dict)
            or value.get("node") != self._liar
        ):
            return value
        self._lies -= 1
        machines = list(value["machines"])
        foreign = [i for _, i in sorted(self.world.view.instances.items()) if i.node != self._liar]
        kind = self.random.choice(("others", "others", "generation", "omits"))
        if kind == "others" and foreign:
            row = self.random.choice(foreign)
            machines.append(
                {
                    "instance_id": row.id,
                    "generation": row.generation,
                    "reboots": 0,
                    "seen": self.random.choice(("absent", "stopped", "failed")),
                    "end": str(End.GUEST),
                    "detail": "a lie",
                }
            )
        elif kind == "generation" and machines:
            claimed = dict(self.random.choice(machines))
            claimed["generation"] += self.random.choice((-1, 1, 5))
            claimed["seen"] = self.random.choice(("running", "stopped", "absent"))
            self.world.history.lies.add((claimed["instance_id"], claimed["generation"]))
            machines.append(claimed)
        elif kind == "omits" and (there := sorted(self.world.history.holds.get(self._liar, ()))):
            left_out = self.random.choice(there)
            self.world.history.omitted.add((self._liar, left_out))
            machines = [m for m in machines if m["instance_id"] != left_out]
            if "since" in value:
                value = {**value, "gone": [*value["gone"], left_out]}
        # under a version of its own: the truth that follows is news again
        return {**value, "machines": machines, "version": value["version"] ^ (1 << 40)}
