"""Sleep and wake at the lower end: what a node refuses, what a cluster controller relays, how commands are run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import SECOND, ManualClock
from euca_rpc.cluster.service import ClusterService
from euca_rpc.config import load
from euca_rpc.daemons import command
from euca_rpc.daemons.node import first_card
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import NoNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.node.simulated import SimulatedHypervisor
from euca_rpc.types import Size


class Held:
    """A carrier whose jobs and calls the test does when it likes."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Answer], None]]] = []
        self.calls: list[tuple[str, str, dict[str, Any], Callable[[Answer], None]]] = []

    def run(self, key: str, job: Any, on_answer: Any) -> None:
        self.jobs.append((job, on_answer))

    def call(self, peer: str, method: str, args: Any, on_answer: Any) -> None:
        self.calls.append((peer, method, args, on_answer))

    def work(self) -> list[EucaError | None]:
        ended: list[EucaError | None] = []
        for job, on_answer in self.jobs:
            try:
                answer = Answer(job())
            except EucaError as error:
                answer = Answer(None, error)
            on_answer(answer)
            ended.append(answer.error)
        self.jobs.clear()
        return ended


class Host:
    def __init__(self, root: Path, *, can: bool = True) -> None:
        self.clock, self.carrier = ManualClock(), Held()
        self.hypervisor = SimulatedHypervisor(root / "host", clock=self.clock)
        self.slept = 0
        self.node = NodeService(
            "z/h", "c", root / "home", self.hypervisor, None, self.carrier, self.clock, SeededIds(1),  # type: ignore[arg-type]
            OfferSettings(4, 4096, 100), NoNetwork(), poke=lambda: None, disks=NoDisks(),
            rest=self.rest if can else None, mac="52:54:00:12:34:56",
        )  # fmt: skip

    def rest(self) -> None:
        self.slept += 1


def test_a_node_says_whether_it_can_sleep_and_what_wakes_it(tmp_path: Path) -> None:
    told = Host(tmp_path / "a").node.report()
    assert (told["sleeps"], told["mac"]) == (True, "52:54:00:12:34:56")
    without = Host(tmp_path / "b", can=False)
    assert without.node.report()["sleeps"] is False
    with pytest.raises(EucaError, match=r"no \[node\] sleep_command") as refused:
        without.node.sleep(10**18)
    assert refused.value.symbol == "unsupported"


def test_an_empty_node_sleeps_when_its_turn_comes(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.node.sleep(host.clock.now() + SECOND) == {"accepted": True}
    assert host.slept == 0
    assert host.carrier.work() == [None]
    assert host.slept == 1


def test_nothing_sleeps_under_a_machine_not_even_a_strangers(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.hypervisor.plant_foreign("web", Size(1, 512, 1))
    with pytest.raises(EucaError, match=r"holds 1 machines \(web\)"):
        host.node.sleep(host.clock.now() + SECOND)


def test_a_late_order_is_not_obeyed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    until = host.clock.now() + SECOND
    host.clock.advance(SECOND + 1)
    with pytest.raises(EucaError, match="the order is too old"):
        host.node.sleep(until)


def test_what_changed_while_the_order_waited_for_its_turn_is_seen(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.node.sleep(host.clock.now() + SECOND)
    host.hypervisor.plant_foreign("web", Size(1, 512, 1))
    (late,) = host.carrier.work()
    assert late is not None
    host = Host(tmp_path / "other")
    host.node.sleep(host.clock.now() + SECOND)
    host.clock.advance(SECOND + 1)
    (late,) = host.carrier.work()
    assert late is not None
    assert host.slept == 0


# ------------------------------------------------------------------------------------------ the cluster controller
def cluster(wake: Any) -> tuple[ClusterService, Held]:
    carrier = Held()
    one = ClusterService("z", carrier, ManualClock(), SeededIds(1), wake_node=wake)
    one.roster(["z/h"])
    return one, carrier


def test_an_order_to_sleep_is_relayed_with_the_nodes_answer() -> None:
    one, carrier = cluster(lambda node, mac: None)
    future = one.sleep("z/h", 7)
    ((peer, method, args, answer),) = carrier.calls
    assert (peer, method, args) == ("euca.node.z.h", "sleep", {"until": 7})
    answer(Answer(None, EucaError("state_conflict", "It holds something.")))
    answer(Answer({"accepted": True}))  # delivered twice
    with pytest.raises(EucaError, match="It holds something"):
        future.result(0)


def test_where_nobody_could_wake_it_no_node_is_let_sleep() -> None:
    one, carrier = cluster(None)
    for call in (lambda: one.sleep("z/h", 7), lambda: one.rouse("z/h", "")):
        with pytest.raises(EucaError, match=r"no \[cluster\] wake_command") as refused:
            call()
        assert refused.value.symbol == "unsupported"
    assert not carrier.calls
    with pytest.raises(EucaError, match="has on its roster: z/h"):
        one.rouse("z/other", "")


def test_waking_is_the_cluster_controllers_own_work() -> None:
    woken: list[tuple[str, str]] = []
    one, carrier = cluster(lambda node, mac: woken.append((node, mac)))
    future = one.rouse("z/h", "52:54:00:12:34:56")
    assert not future.done()
    carrier.work()
    assert future.result(0) == {"accepted": True}
    assert woken == [("z/h", "52:54:00:12:34:56")]


# ---------------------------------------------------------------------------------------------------- commands
def test_words_are_filled_and_stay_words(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('|'.join(sys.argv[2:]))"
    words = [sys.executable, "-c", script, str(out), "{mac}", "--{node}", "{unknown}"]
    command.run(words, {"mac": "a b; rm -rf *", "node": "z/h"})
    assert out.read_text() == "a b; rm -rf *|--z/h|{unknown}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere/wake"], "cannot be started"),
        ([sys.executable, "-c", "raise SystemExit('no card')"], "ended with 1: no card"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with 3: it said nothing"),
    ],
)
def test_a_command_that_fails_says_why(words: list[str], said: str) -> None:
    with pytest.raises(EucaError, match=said) as failed:
        command.run(words, {})
    assert failed.value.symbol == "unavailable"


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PATIENCE", 0.2)
    with pytest.raises(EucaError, match="did not end within"):
        command.run([sys.executable, "-c", "import time; time.sleep(60)"], {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[cluster]\nwake_command = ["wol", "{mca}"]', r"stands for nothing: did you mean \{mac\}"),
        ('[node]\nsleep_command = ["x", "{mac}"]', r"stands for nothing: there are \{zone\}"),
        ('[node]\nwake_address = "none"', "must be a MAC address"),
        ('[node]\nsleep_command = "systemctl suspend"', "must be a list of texts"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "euca.toml").write_text(text)
    with pytest.raises(EucaError, match=said):
        load(tmp_path)


def test_the_first_card_that_is_one(tmp_path: Path) -> None:
    assert first_card(tmp_path) == ""
    for name, real in (("docker0", False), ("eth0", True), ("eth1", True)):
        card = tmp_path / name
        card.mkdir()
        (card / "address").write_text(f"52:54:00:00:00:{name[-1]}A\n".replace("docker", ""))
        if real:
            (card / "device").mkdir()
    assert first_card(tmp_path) == "52:54:00:00:00:0a"
