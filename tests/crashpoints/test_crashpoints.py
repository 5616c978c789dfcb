"""SIGKILL at point 1, 2, 3 … of a scenario, until a run meets no more points.

    template site ─copy─► child: the scenario, killed at its k-th point ─► another child: goes on from the directories
                                     │ answers.log: what was answered before     until all is settled, and judges

Points are numbered at run time by those who have something to lose there: the journal around its commit, the node
between the steps of its jobs and around each write and sync of its log, the carrier around each call.  The scenario is launch 2, stop, start, reboot, make an image,
terminate; it is real cloud, cluster and node controllers on real files (simulated time and hypervisor: `euca_rpc.testing.world`).
"None twice" is judged from the hosts' own start logs.  All of it also with every call delivered twice.

A child is forked from this process, where everything is imported already.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.cloud import lifecycle
from euca_rpc.node import log as node_log
from euca_rpc.node.simulated import read_history
from euca_rpc.testing import checks
from euca_rpc.testing.network import Weather
from euca_rpc.testing.timeline import Timeline
from euca_rpc.testing.world import IMAGE, Shape, World
from euca_rpc.types import Instance, Intent, LaunchRequest

SHAPE = Shape(zones=1, nodes=2, policy="round_robin", poll=20 * SECOND)
BEGAN = Timeline(0).now()
TOKEN = "the-one"


def open_world(root: Path, name: str, at: int | None, twice: bool) -> World:
    logging.disable(logging.CRITICAL)
    world = World(root, name, SHAPE, resumed_at=at)
    world.network.weather = Weather(0, 0, 1.0 if twice else 0, 0, 0, 0, 0)
    world.concurrency = world.interleaving = 0
    return world


# ------------------------------------------------------------------------------------------------- the scenario
def scenario(world: World, answered: Callable[[str, tuple[str, ...]], None]) -> None:
    clients, core, ann = world.clients, world.cloud.core, world.clients.callers[0]

    def ask(what: str, ids: tuple[str, ...]) -> None:
        clients.ask(core, ann, what, ids)
        answered(what, ids)
        world.run(600, lambda: not world.view.unsettled)

    ids = clients.launch(core, ann, LaunchRequest(IMAGE, 2, 2, client_token=TOKEN))
    answered("launch", ids)
    world.run(600, lambda: not world.view.unsettled)
    ask("stop", ids[:1])
    ask("start", ids[:1])
    ask("reboot", ids[1:])
    answered("image", (core.images.create(ann, ids[1], "a picture").id,))
    world.run(600, lambda: not world.view.captures)
    ask("terminate", ids)


def live(root: Path, kill_at: int, twice: bool) -> None:
    """In a child: dies at the point, or comes to the end."""
    world = open_world(root, "second", BEGAN + 60 * SECOND, twice)
    met, names = 0, set()

    def meet(point: str) -> None:
        nonlocal met
        names.add(point.split()[1])
        if " report " in point or " poke " in point:
            return  # they carry news of what is written elsewhere, and write nothing
        met += 1
        if met == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    log = os.open(root / "answers.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    world.timeline.met = meet
    scenario(world, lambda what, ids: os.write(log, json.dumps([what, *ids]).encode() + b"\n") and None)
    assert {"log-append", "log-synced", "log-renamed"} <= names
    (root / "met").write_text(str(met))


# --------------------------------------------------------------------------------------------------- judging
def go_on(root: Path, twice: bool) -> None:
    """In another child, on the same directories: settles, and kept its promises."""
    path = root / "answers.log"
    answers = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    world = open_world(root, "third", BEGAN + 1200 * SECOND, twice)
    world.run(900, lambda: not world.view.unsettled and not world.view.captures)
    world.run(60)
    assert not world.view.unsettled, f"never settles: {world.history.story()}"
    judge_images(world, [id_ for what, *ids in answers if what == "image" for id_ in ids])
    rows: dict[str, Instance] = {r.id: r for r in world.cloud.store.select(Instance)}
    last = {id_: what for what, *ids in answers for id_ in ids if what != "image"}
    told = {i for what, *ids in answers if what == "launch" for i in ids}
    assert told <= rows.keys(), "an answered launch is lost"
    for id_, what in last.items():
        row = rows[id_]
        if what == "terminate":
            assert lifecycle.state(row) == lifecycle.TERMINATED, (id_, row)
    steps = [what for what, *_ in answers]
    first = rows[answers[0][1]] if answers else None
    if steps == ["launch", "stop"] and first is not None and first.intent is not Intent.STOPPED:
        assert first.generation == 2, "a stop that was answered is gone, and no start followed"
    if steps[-1:] == ["reboot"]:
        assert any(r.reboots == 1 for r in rows.values()), "an answered reboot is lost"
    judge_hosts(world, rows)
    checks.view_is_disk(world.history, world.view, world.cloud.store, world.clock.now())

    ann = world.clients.callers[0]  # the client repeats its launch, whatever became of the first
    core = world.cloud.core
    ids = world.clients.launch(core, ann, LaunchRequest(IMAGE, 2, 2, client_token=TOKEN))
    if told:
        assert set(ids) == told, "the token launched twice"
    assert len({r.reservation_id for r in world.cloud.store.select(Instance)}) == 1
    world.clients.ask(core, ann, "terminate", ids)
    world.run(900, lambda: not world.view.unsettled)
    world.run(60)
    judge_hosts(world, {r.id: r for r in world.cloud.store.select(Instance)})
    checks.capacity_is_back(world.history, world.view, world.offers)
    checks.usage_adds_up(world.history, world.cloud.store)


def judge_images(world: World, answered: list[str]) -> None:
    """One that was asked for is there whole: nothing but the kill was in its way.  Unless nobody heard of it: then its
    machine may have been terminated before, or it was never made."""
    made = {i.id: i for i in world.view.images.values() if i.id != IMAGE}
    assert set(answered) <= set(made), "an answered image is lost"
    for image in made.values():
        assert image.state == "available" or (image.state == "failed" and image.reason), image
        if image.id in answered:
            assert image.state == "available", image
    for home in world.homes.values():
        for path in home.glob("captures/*/*"):
            assert path.name == "capture.json", f"{path} is left"
            assert json.loads(path.read_text())["state"] == "forgotten"


def judge_hosts(world: World, rows: dict[str, Instance]) -> None:
    starts: Counter[tuple[str, int]] = Counter()
    resets: Counter[str] = Counter()
    running: dict[str, tuple[str, int]] = {}
    lines = [
        (line, node) for node, home in world.homes.items() for line in read_history(home.parent / "host")
    ]
    for line, node in sorted(lines, key=lambda pair: pair[0].at):
        if line.what == "start":
            starts[line.instance, line.generation] += 1
            assert starts[line.instance, line.generation] == 1, f"{line} is the second start"
            assert line.instance not in running, f"{line} while {running[line.instance]} runs"
            running[line.instance] = (node, line.generation)
        elif line.what == "stop":
            running.pop(line.instance, None)
            assert line.instance in rows
            assert rows[line.instance].intent is not Intent.RUNNING or rows[line.instance].generation > 1
        elif line.what == "reboot":
            resets[line.instance] += 1
            assert resets[line.instance] <= rows[line.instance].reboots
    expected = {
        i.id: (i.node, i.generation) for i in rows.values() if lifecycle.state(i) == lifecycle.RUNNING
    }
    assert running == expected


# -------------------------------------------------------------------------------------------------- the loop
def child(root: Path, job: Callable[[], None]) -> int:
    """Forked: 0 well, 9 killed; anything else raises with what it said."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            job()
        except BaseException:
            (root / "trouble").write_text(traceback.format_exc())
            code = 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise AssertionError((root / "trouble").read_text())
    return 0


def kill_at_every_point(base: Path, twice: bool, first: int, stride: int) -> int:
    """The number of points met.  Every ``stride``-th from ``first`` on is died at."""
    template = base / "template"

    def make() -> None:
        World(template, "first", SHAPE)

    assert child(base, make) == 0
    k = first
    while True:
        root = base / f"at-{k}"
        shutil.copytree(template, root)
        end = child(root, lambda: live(root, k, twice))
        try:
            assert child(root, lambda: go_on(root, twice)) == 0
        except AssertionError as broken:
            raise AssertionError(f"killed at point {k}{', calls twice' if twice else ''}: {broken}") from None
        if end == 0:
            met = int((root / "met").read_text())
            assert met < k
            return met
        assert end == signal.SIGKILL
        shutil.rmtree(root)
        k += stride


@pytest.fixture(autouse=True)
def short_logs(monkeypatch):
    """So that a node shortens its log while one looks."""
    monkeypatch.setattr(node_log, "ROOM", 4000)


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_killed_at_some_points(tmp_path, twice, capsys):
    met = kill_at_every_point(tmp_path, twice, 1, 5)
    with capsys.disabled():
        print(f" [{met} crash points met, died at every fifth]", end="")
    assert met > 50


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_killed_at_every_point(tmp_path, twice, capsys):
    met = kill_at_every_point(tmp_path, twice, 1, 1)
    with capsys.disabled():
        print(f" [{met} crash points met, died at each]", end="")
    assert met > 50
