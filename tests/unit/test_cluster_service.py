"""The cluster controller against a manual clock and a carrier whose answers the test gives when it likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.clock import HOUR, SECOND, ManualClock, Micros
from euca_rpc.cluster.roster import ClusterSettings
from euca_rpc.cluster.service import ClusterService
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds


@dataclass
class Call:
    peer: str
    method: str
    args: dict[str, Any]
    on_answer: OnAnswer

    def answers(self, value: Any) -> None:
        self.on_answer(Answer(value))

    def fails(self, sentence: str = "Nobody answers at 127.0.0.1:9.") -> None:
        self.on_answer(Answer(error=EucaError("unreachable", sentence)))


@dataclass
class Held:
    """A carrier that holds every call until the test answers it."""

    calls: list[Call] = field(default_factory=list)

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        self.calls.append(Call(peer, method, args, on_answer))

    def run(self, key: str, job: Any, on_answer: OnAnswer) -> None:
        raise AssertionError("a cluster controller has no work of its own")

    def take(self, method: str = "report") -> list[Call]:
        taken = [call for call in self.calls if call.method == method]
        self.calls = [call for call in self.calls if call.method != method]
        return taken


@dataclass(frozen=True)
class PeerName:
    zone: str
    host: str


class World:
    def __init__(self, nodes: list[str], settings: ClusterSettings | None = None) -> None:
        self.clock = ManualClock()
        self.carrier = Held()
        self.pokes = 0
        self.wakes = 0
        self.revoked: list[str] = []
        self.cluster = ClusterService(
            "z1",
            self.carrier,
            self.clock,
            SeededIds(1),
            poke=self._poke,
            revoked=self.revoked.extend,
            settings=settings,
        )
        self.cluster.wake = self._wake
        if nodes:
            self.cluster.roster(nodes=nodes)

    def _poke(self) -> None:
        self.pokes += 1

    def _wake(self) -> None:
        self.wakes += 1

    def asked(self) -> list[Call]:
        self.due = self.cluster.step()
        return self.carrier.take()

    def nodes(self, known: dict[str, int] | None = None) -> dict[str, Any]:
        return self.cluster.report(known=known)["nodes"]

    def pass_(self, by: Micros) -> None:
        self.clock.advance(by)


def report(node: str, version: int, machines: int = 0) -> dict[str, Any]:
    return {
        "node": node,
        "version": version,
        "machines": [{"instance_id": f"i-{n:08x}"} for n in range(machines)],
    }


def answered(world: World, version: int = 7) -> None:
    for call in world.asked():
        zone, host = call.peer.split(".")[2:]
        call.answers(report(f"{zone}/{host}", version))
    world.cluster.step()


def test_a_fresh_start_says_that_it_has_no_roster() -> None:
    world = World([])
    said = world.cluster.report()
    assert (said["roster"], said["nodes"], said["zone"]) == (False, {}, "z1")
    assert world.cluster.step() is None
    assert world.cluster.hello()["boot_id"] == said["start_id"]
    world.cluster.roster(nodes=[])
    assert world.cluster.report()["roster"] is True


def test_two_starts_have_different_start_ids() -> None:
    ids = SeededIds(3)
    one, two = (ClusterService("z1", Held(), ManualClock(), ids) for _ in range(2))
    assert one.start_id != two.start_id


def test_every_node_is_asked_at_once_and_again_after_its_answer() -> None:
    world = World(["z1/a", "z1/b"])
    calls = world.asked()
    assert [call.peer for call in calls] == ["euca.node.z1.a", "euca.node.z1.b"]
    assert calls[0].args == {"known": None, "deltas": True}
    calls[0].answers(report("z1/a", 7, machines=2))
    assert world.asked() == [], "an outstanding call is not repeated"
    world.pass_(2 * SECOND)
    again = world.asked()
    assert [(call.peer, call.args) for call in again] == [("euca.node.z1.a", {"known": 7, "deltas": True})]
    told = world.nodes()
    assert told["z1/a"]["report"] == report("z1/a", 7, machines=2)
    assert told["z1/a"]["version"] == 7
    assert told["z1/b"]["report"] is None
    assert told["z1/b"]["heard_at"] is None


def test_the_cloud_gets_a_report_once() -> None:
    world = World(["z1/a"])
    answered(world)
    assert world.nodes({"z1/a": 6})["z1/a"]["report"] is not None
    told = world.nodes({"z1/a": 7})["z1/a"]
    assert told["report"] is None
    assert told["version"] == 7


def delta(
    node: str, since: int, version: int, machines: tuple[int, ...] = (), gone: tuple[int, ...] = ()
) -> Any:
    said = [{"instance_id": f"i-{n:08x}", "seen": version} for n in machines]
    words = {"since": since, "machines": said, "gone": [f"i-{n:08x}" for n in gone]}
    return {"node": node, "version": version, **words}


def test_a_delta_makes_a_whole_report_of_the_one_that_is_here_and_a_delta_for_the_cloud() -> None:
    world = World(["z1/a"])
    (call,) = world.asked()
    call.answers(report("z1/a", 7, machines=3))
    world.cluster.step()
    pokes = world.pokes
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers({**delta("z1/a", 7, 8, machines=(1, 5), gone=(0,)), "warnings": ["hot"]})
    world.cluster.step()
    assert world.pokes == pokes + 1
    changed, new = ({"instance_id": f"i-{n:08x}", "seen": 8} for n in (1, 5))
    whole = {
        "node": "z1/a",
        "version": 8,
        "warnings": ["hot"],
        "machines": [changed, {"instance_id": "i-00000002"}, new],
    }
    assert world.nodes()["z1/a"]["report"] == whole
    assert world.nodes({"z1/a": 7})["z1/a"]["report"] == whole, "nobody said that deltas are understood"
    told = world.cluster.report({"z1/a": 7}, deltas=True)["nodes"]["z1/a"]["report"]
    assert told == {**delta("z1/a", 7, 8, machines=(1, 5), gone=(0,)), "warnings": ["hot"]}
    assert world.cluster.report({"z1/a": 6}, deltas=True)["nodes"]["z1/a"]["report"] == whole


def test_a_delta_to_a_report_that_is_not_here_is_not_taken_and_the_whole_is_asked_for() -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers(delta("z1/a", 6, 8, machines=(1,)))
    assert world.nodes()["z1/a"]["report"] is None
    assert world.nodes()["z1/a"]["silent_since"] is None, "it answered"
    world.pass_(SECOND // 20)
    (call,) = world.asked()
    assert call.args["known"] is None
    call.answers(delta("z1/a", 6, 8, machines=(1,)))
    assert world.nodes()["z1/a"]["report"] is None
    world.pass_(SECOND // 20)
    (call,) = world.asked()
    call.answers(report("z1/a", 9, machines=1))
    assert world.nodes()["z1/a"]["report"] == report("z1/a", 9, machines=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"machines": None},
        {"machines": [3]},
        {"machines": [{}]},
        {"machines": [{"instance_id": ["i-1"]}]},
        {"gone": None},
        {"gone": "i-00000001"},
        {"gone": [[]]},
    ],
)
def test_a_delta_of_nonsense_is_the_nodes_trouble(wrong: dict[str, Any]) -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers({**delta("z1/a", 7, 8), **wrong})
    told = world.nodes()["z1/a"]
    assert "Its report" in told["trouble"]
    assert told["report"] == report("z1/a", 7), "what was known stands"


def test_unchanged_reports_move_only_the_moment() -> None:
    world = World(["z1/a"])
    answered(world)
    pokes = world.pokes
    before = world.nodes()["z1/a"]
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers({"same": 7})
    world.cluster.step()
    after = world.nodes()["z1/a"]
    assert after["heard_at"] == before["heard_at"] + 2 * SECOND
    assert {**after, "heard_at": 0} == {**before, "heard_at": 0}
    assert world.pokes == pokes, "nothing to tell"


def test_a_changed_report_pokes_the_cloud_once() -> None:
    world = World(["z1/a", "z1/b"])
    for call in world.asked():
        call.answers(report("z1/" + call.peer[-1], 1))
    assert world.pokes == 0
    world.cluster.step()
    assert world.pokes == 1
    world.cluster.step()
    assert world.pokes == 1


def test_a_node_that_means_another_report_is_asked_for_all_of_it() -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers({"same": 9})
    world.pass_(SECOND // 20)
    (call,) = world.asked()
    assert call.args["known"] is None
    call.answers({"same": 9})
    assert world.nodes()["z1/a"]["trouble"] == "It reports no change, but nothing was known of it."
    world.pass_(SECOND // 20)
    assert world.asked() == [], "it is not asked in a tight circle"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "It answered a report with a NoneType."),
        ([1], "It answered a report with a list."),
        ({"node": "z1/b", "version": 1}, "It answered as 'z1/b', not as 'z1/a'."),
        ({"node": "z1/a"}, "Its report carries no version."),
        ({"node": "z1/a", "version": True}, "Its report carries no version."),
    ],
)
def test_nonsense_counts_as_no_answer(value: Any, sentence: str) -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(2 * SECOND)
    (call,) = world.asked()
    call.answers(value)
    told = world.nodes()["z1/a"]
    assert told["trouble"] == sentence
    assert told["report"] == report("z1/a", 7)


def test_a_silent_node_is_silent_since_its_last_answer_and_comes_back_by_itself() -> None:
    world = World(["z1/a", "z1/b"])
    answered(world)
    last, pokes = world.clock.now(), world.pokes
    while world.clock.now() < last + 9 * SECOND:
        for call in world.asked():
            if call.peer.endswith("a"):
                call.fails()
            else:
                call.answers({"same": 7})
        world.pass_(SECOND // 2)
    told = world.nodes()
    assert told["z1/a"]["silent_since"] is None
    assert told["z1/a"]["trouble"] == "Nobody answers at 127.0.0.1:9."
    assert world.pokes == pokes
    world.pass_(last + 10 * SECOND - world.clock.now())
    calls = world.asked()
    told = world.nodes()
    assert told["z1/a"]["silent_since"] == last == told["z1/a"]["heard_at"]
    assert told["z1/b"]["silent_since"] is None
    assert told["z1/a"]["report"] == report("z1/a", 7), "what was last known stays"
    assert world.pokes == pokes + 1
    while not any(call.peer.endswith("a") for call in calls):
        world.pass_(SECOND // 2)
        assert world.clock.now() <= last + 16 * SECOND, "asked again at least every 5 s"
        calls = world.asked()
    next(call for call in calls if call.peer.endswith("a")).answers({"same": 7})
    world.cluster.step()
    told = world.nodes()["z1/a"]
    assert (told["silent_since"], told["trouble"]) == (None, "")
    assert world.pokes == pokes + 2, "coming back is news"


def test_a_node_never_heard_is_silent_since_it_was_put_on_the_roster() -> None:
    world = World(["z1/a"])
    start = world.clock.now()
    (call,) = world.asked()
    call.fails()
    world.pass_(10 * SECOND)
    world.asked()
    assert world.nodes()["z1/a"]["silent_since"] == start
    assert world.nodes()["z1/a"]["heard_at"] is None


def test_pauses_grow_up_to_five_seconds() -> None:
    world = World(["z1/a"])
    pauses = []
    for _ in range(5):
        (call,) = world.asked()
        call.fails()
        began = world.clock.now()
        due = world.cluster.step()
        while not world.carrier.calls:
            assert due is not None
            world.clock.at = due
            due = world.cluster.step()
        pauses.append((world.clock.now() - began) / SECOND)
        world.carrier.take()[0].fails()
        world.cluster.poke(peer=PeerName("z1", "a"))
        world.pass_(SECOND // 20)
    assert pauses == [2, 5, 5, 5, 5]  # two failures per round: the pauses of failures 1, 3, 5 …


def test_one_hanging_node_slows_nobody() -> None:
    world = World(["z1/a", "z1/b", "z1/c"])
    asked: dict[str, int] = {}
    for _ in range(60):  # a minute in which a never answers
        for call in world.asked():
            asked[call.peer[-1]] = asked.get(call.peer[-1], 0) + 1
            if not call.peer.endswith("a"):
                call.answers(report("z1/" + call.peer[-1], 1))
        world.pass_(SECOND)
    assert asked["b"] == asked["c"] == 30
    assert 3 <= asked["a"] <= 7, "its call is given up and made again, one at a time"
    assert world.nodes()["z1/a"]["trouble"] == "No answer came."
    assert world.nodes()["z1/b"]["silent_since"] is None


def test_an_answer_that_is_too_late_or_comes_twice_changes_nothing() -> None:
    world = World(["z1/a"])
    (first,) = world.asked()
    world.pass_(10 * SECOND)
    world.asked()  # given up
    world.pass_(2 * SECOND)
    (second,) = world.asked()
    second.answers(report("z1/a", 2))
    told = world.nodes()
    first.answers(report("z1/a", 1))
    second.answers(report("z1/a", 3))
    assert world.nodes() == told


def test_a_poke_asks_now() -> None:
    world = World(["z1/a", "z1/b"])
    answered(world)
    world.pass_(SECOND)
    wakes = world.wakes
    assert world.cluster.poke(peer=PeerName("z1", "a")) == {"accepted": True}
    assert world.wakes == wakes + 1
    assert [call.peer for call in world.asked()] == ["euca.node.z1.a"]


def test_a_poke_during_a_call_asks_again_after_it() -> None:
    world = World(["z1/a"])
    (call,) = world.asked()
    world.pass_(SECOND)
    world.cluster.poke(peer=PeerName("z1", "a"))
    assert world.asked() == []
    call.answers(report("z1/a", 1))
    assert len(world.asked()) == 1


def test_a_node_that_pokes_all_the_time_is_not_asked_all_the_time() -> None:
    world = World(["z1/a"])
    asked = 0
    for _ in range(1000):  # one second
        world.cluster.poke(peer=PeerName("z1", "a"))
        for call in world.asked():
            asked += 1
            call.answers(report("z1/a", 1))
        world.pass_(SECOND // 1000)
    assert asked <= 21


@pytest.mark.parametrize("peer", [PeerName("z1", "stranger"), PeerName("z2", "a")])
def test_pokes_of_strangers_are_ignored(peer: PeerName) -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(SECOND)
    world.cluster.poke(peer=peer)
    assert world.asked() == []


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("ensure", {"specs": [{"instance_id": "i-1"}]}),
        ("absent", {"items": [{"instance_id": "i-1", "generation": 1}]}),
        ("stop", {"items": [{"instance_id": "i-1", "generation": 1}]}),
        ("reboot", {"items": [{"instance_id": "i-1", "generation": 1, "reboots": 1}]}),
    ],
)
@pytest.mark.parametrize("ends_well", [True, False])
def test_orders_are_passed_on_at_once_and_followed_by_a_report(
    method: str, args: dict[str, Any], ends_well: bool
) -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(SECOND)
    assert getattr(world.cluster, method)(node="z1/a", **args) == {"accepted": True}
    (call,) = world.carrier.take(method)
    assert (call.peer, call.args) == ("euca.node.z1.a", args)
    assert world.asked() == []
    if ends_well:
        call.answers({"accepted": True})
    else:
        call.fails()
    assert [call.peer for call in world.asked()] == ["euca.node.z1.a"]


@pytest.mark.parametrize("method", ["ensure", "absent", "stop", "reboot", "console"])
def test_a_node_that_is_not_on_the_roster_gets_no_orders(method: str) -> None:
    world = World(["z1/a", "z1/b"])
    argument: Any = "i-1" if method == "console" else []
    with pytest.raises(EucaError) as refused:
        getattr(world.cluster, method)("z1/c", argument)
    assert refused.value.symbol == "node_not_found"
    assert "Node z1/c was asked for" in refused.value.sentence
    assert "z1/a, z1/b" in refused.value.sentence
    assert world.carrier.take(method) == []
    with pytest.raises(EucaError, match="has not been told its roster"):
        getattr(World([]).cluster, method)("z1/a", argument)


def test_a_console_is_relayed() -> None:
    world = World(["z1/a"])
    future = world.cluster.console(node="z1/a", instance_id="i-00000001")
    (call,) = world.carrier.take("console")
    assert (call.peer, call.args) == ("euca.node.z1.a", {"instance_id": "i-00000001"})
    assert not future.done()
    assert not future.cancel()
    call.answers({"text": b"hello", "at": 5})
    call.fails()  # delivered twice
    assert future.result(0) == {"text": b"hello", "at": 5}
    future = world.cluster.console(node="z1/a", instance_id="i-00000002")
    world.carrier.take("console")[0].fails("z1/a does not answer.")
    with pytest.raises(EucaError, match="z1/a does not answer"):
        future.result(0)


def test_a_changed_roster_keeps_what_is_known_and_forgets_who_left() -> None:
    world = World(["z1/a", "z1/b"])
    calls = world.asked()
    calls[0].answers(report("z1/a", 1))
    world.cluster.roster(nodes=["z1/a", "z1/c"])
    calls[1].answers(report("z1/b", 1))
    assert set(world.nodes()) == {"z1/a", "z1/c"}
    assert world.nodes()["z1/a"]["version"] == 1
    assert [call.peer for call in world.asked()] == ["euca.node.z1.c"]


@pytest.mark.parametrize("wrong", ["z2/a", "z1/", "z1/A", "z1", "z1/a.b", 7])
def test_a_roster_of_another_zone_is_refused_and_not_taken_over(wrong: Any) -> None:
    world = World(["z1/a"])
    with pytest.raises(EucaError, match="must be z1/HOST") as refused:
        world.cluster.roster(nodes=["z1/b", wrong])
    assert refused.value.symbol == "parameter_invalid"
    assert set(world.nodes()) == {"z1/a"}


def test_revoked_serials_are_handed_on() -> None:
    world = World([])
    world.cluster.roster(nodes=[], revoked=["12", "99"])
    assert world.revoked == ["12", "99"]


def test_a_clock_set_wrong_makes_nobody_silent() -> None:
    class TwoClocks(ManualClock):
        set_by = 0

        def now(self) -> Micros:
            return self.at + self.set_by

    world = World([])
    clock = TwoClocks()
    cluster = ClusterService("z1", world.carrier, clock, SeededIds(1))
    cluster.roster(nodes=["z1/a"])
    cluster.step()
    world.carrier.take()[0].answers(report("z1/a", 1))
    clock.set_by = HOUR
    due = cluster.step()
    assert cluster.report()["nodes"]["z1/a"]["silent_since"] is None
    assert due == clock.now() + 2 * SECOND
    clock.set_by = -HOUR
    assert cluster.step() == clock.now() + 2 * SECOND


def test_a_controller_that_was_stopped_itself_calls_nobody_silent() -> None:
    world = World(["z1/a"])
    answered(world)
    world.pass_(HOUR)  # the process was frozen
    (call,) = world.asked()
    assert world.nodes()["z1/a"]["silent_since"] is None
    call.answers({"same": 7})
    world.cluster.step()
    assert world.nodes()["z1/a"]["silent_since"] is None


def test_settings_from_seconds() -> None:
    assert ClusterSettings.of({"poll": 0.5, "silence": 3}) == ClusterSettings(
        poll=SECOND // 2, silence=3 * SECOND
    )
    with pytest.raises(EucaError, match="no setting pol; it knows poll, silence and backoff"):
        ClusterSettings.of({"pol": 1})
    with pytest.raises(EucaError, match=r"poll is 0; it must lie between 0\.01 and 3600"):
        ClusterSettings.of({"poll": 0})
