"""Any order of answers, losses, pokes, roster changes and pauses: what a cluster controller promises of its polling."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.clock import SECOND, ManualClock
from euca_rpc.cluster.roster import ClusterSettings
from euca_rpc.cluster.service import ClusterService
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds

HOSTS = "abc"
SETTINGS = ClusterSettings()


class Carrier:
    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], OnAnswer]] = []

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        self.calls.append((peer.rpartition(".")[2], args, on_answer))

    def run(self, key: str, job: Any, on_answer: OnAnswer) -> None:
        raise AssertionError


class Peer:
    zone = "z1"

    def __init__(self, host: str) -> None:
        self.host = host


class Polling(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.carrier = Carrier()
        self.pokes = 0
        self.cluster = ClusterService("z1", self.carrier, self.clock, SeededIds(1), poke=self._poke)
        self.roster: set[str] = set()
        self.truth = dict.fromkeys(HOSTS, 1)  # the version each node would report now
        self.known: dict[str, int | None] = {}
        self.told = 0

    def _poke(self) -> None:
        self.pokes += 1

    @rule(hosts=st.sets(st.sampled_from(HOSTS)))
    def change_roster(self, hosts: set[str]) -> None:
        self.cluster.roster(nodes=[f"z1/{h}" for h in sorted(hosts)])
        self.known = {h: v for h, v in self.known.items() if h in hosts}
        self.roster = hosts

    @rule(by=st.sampled_from([1, SECOND // 20, SECOND, 2 * SECOND, 5 * SECOND, 11 * SECOND]))
    def pass_time(self, by: int) -> None:
        self.clock.advance(by)

    @rule(host=st.sampled_from(HOSTS))
    def change_node(self, host: str) -> None:
        self.truth[host] += 1
        self.cluster.poke(peer=Peer(host))

    @precondition(lambda self: self.carrier.calls)
    @rule(data=st.data(), how=st.sampled_from(["answer", "fail", "twice", "never"]))
    def end_call(self, data: st.DataObject, how: str) -> None:
        at = data.draw(st.integers(0, len(self.carrier.calls) - 1))
        host, args, on_answer = self.carrier.calls.pop(at)
        if how == "fail":
            on_answer(Answer(error=EucaError("unreachable", "It does not answer.")))
        elif how != "never":
            version = self.truth[host]
            report = {"node": f"z1/{host}", "version": version, "machines": []}
            value = {"same": version} if args["known"] == version else report
            for _ in range(2 if how == "twice" else 1):
                on_answer(Answer(value))

    @rule()
    def step(self) -> None:
        before = len(self.carrier.calls)
        due = self.cluster.step()
        assert (due is None) == (not self.roster)
        assert due is None or self.clock.now() <= due <= self.clock.now() + SETTINGS.lost
        asked = [host for host, _, _ in self.carrier.calls[before:]]
        assert len(asked) == len(set(asked))
        assert set(asked) <= self.roster, "nobody else is asked"

    @invariant()
    def what_is_told_is_true(self) -> None:
        if not hasattr(self, "cluster"):
            return
        said = self.cluster.report()
        assert set(said["nodes"]) == {f"z1/{h}" for h in self.roster}
        for node, told in said["nodes"].items():
            version = told["version"]
            assert version is None or version <= self.truth[node[-1]]
            assert (told["report"] is None) == (version is None)
            if told["silent_since"] is not None:
                assert self.clock.now() - told["silent_since"] >= SETTINGS.silence
                assert told["heard_at"] in (None, told["silent_since"])

    def teardown(self) -> None:
        """Liveness: once everybody answers again, everything is known within one longest pause."""
        if not hasattr(self, "cluster"):
            return
        self.carrier.calls.clear()
        end = self.clock.now() + SETTINGS.lost + SETTINGS.backoff + 2 * SETTINGS.poll
        while self.clock.now() < end:
            due = self.cluster.step()
            calls, self.carrier.calls = self.carrier.calls, []
            for host, _, on_answer in calls:
                on_answer(Answer({"node": f"z1/{host}", "version": self.truth[host], "machines": []}))
            if not calls:
                self.clock.at = max(self.clock.at + 1, due or end)
        for node, told in self.cluster.report()["nodes"].items():
            assert told["version"] == self.truth[node[-1]]
            assert told["silent_since"] is None


TestPolling = Polling.TestCase
TestPolling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
