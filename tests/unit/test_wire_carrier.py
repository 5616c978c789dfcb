"""The thread carrier: every job ends in one answer, a key's jobs keep their order, one silent peer slows nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.daemons.carrier import ThreadCarrier
from euca_rpc.errors import EucaError


class FakeRemote:
    """Answers with (peer, method); peers named silent* say nothing until released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.lock = threading.Lock()
        self.under_way = 0
        self.most: dict[str, int] = {}
        self.now: dict[str, int] = {}

    def call(self, peer: str, method: str, args: Mapping[str, Any], timeout: float | None = None) -> Any:
        with self.lock:
            self.now[peer] = self.now.get(peer, 0) + 1
            self.most[peer] = max(self.most.get(peer, 0), self.now[peer])
        try:
            if peer.startswith("silent"):
                self.release.wait(10)
                raise EucaError("unreachable", f"{peer} did not answer")
            if method == "break":
                raise ZeroDivisionError("inner secret")
            return peer, method
        finally:
            with self.lock:
                self.now[peer] -= 1


class Answers:
    def __init__(self) -> None:
        self.all: list[Answer] = []
        self._changed = threading.Condition()

    def __call__(self, answer: Answer) -> None:
        with self._changed:
            self.all.append(answer)
            self._changed.notify_all()

    def wait(self, count: int, seconds: float = 5) -> list[Answer]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, seconds), (
                f"{len(self.all)} of {count}"
            )
        return self.all


@pytest.fixture
def remote() -> Iterator[FakeRemote]:
    remote = FakeRemote()
    yield remote
    remote.release.set()


@pytest.fixture
def carrier(remote: FakeRemote) -> Iterator[ThreadCarrier]:
    carrier = ThreadCarrier(remote, 8)  # type: ignore[arg-type]
    yield carrier
    remote.release.set()
    carrier.stop()


def test_a_call_ends_in_its_value(carrier: ThreadCarrier) -> None:
    answers = Answers()
    carrier.call("peer", "report", {}, answers)
    assert answers.wait(1) == [Answer(value=("peer", "report"))]


def test_an_error_of_ours_is_the_answer_and_any_other_is_internal_and_logged(carrier, remote, caplog) -> None:
    remote.release.set()
    ours, other = Answers(), Answers()
    carrier.call("silent", "report", {}, ours)
    carrier.call("peer", "break", {}, other)
    assert ours.wait(1)[0].error.symbol == "unreachable"
    error = other.wait(1)[0].error
    assert error.symbol == "internal"
    assert "inner secret" not in error.sentence
    assert "inner secret" in caplog.text


def test_one_silent_peer_with_a_hundred_calls_slows_no_other(carrier, remote) -> None:
    stuck = Answers()
    for _ in range(100):
        carrier.call("silent", "report", {}, stuck)
    began = time.monotonic()
    answers = Answers()
    for number in range(50):
        carrier.call(f"peer{number}", "report", {}, answers)
    answers.wait(50)
    assert time.monotonic() - began < 1
    assert remote.most["silent"] <= 4
    assert stuck.all == []
    remote.release.set()
    assert len(stuck.wait(100)) == 100


def test_many_peers_that_were_silent_before_leave_half_of_the_workers_to_the_others(carrier, remote) -> None:
    remote.release.set()
    known = Answers()
    for number in range(20):
        carrier.call(f"silent{number}", "report", {}, known)
    known.wait(20)
    remote.release.clear()
    stuck, answers = Answers(), Answers()
    for number in range(20):
        for _ in range(5):
            carrier.call(f"silent{number}", "report", {}, stuck)
    carrier.call("peer", "report", {}, answers)
    assert answers.wait(1, 1)[0].value == ("peer", "report")


def test_a_peer_that_answers_again_is_trusted_again(carrier, remote) -> None:
    remote.release.set()
    answers = Answers()
    carrier.call("silent", "report", {}, answers)
    answers.wait(1)
    assert carrier._calls._lanes["silent"].silent
    carrier._calls.submit("silent", lambda: "there", answers)
    assert answers.wait(2)[1].value == "there"
    deadline = time.monotonic() + 2
    while "silent" in carrier._calls._lanes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "silent" not in carrier._calls._lanes


def test_jobs_of_a_key_run_one_after_another_and_so_do_their_answers(carrier: ThreadCarrier) -> None:
    under_way, ran, answers = [], [], Answers()

    def job(number: int) -> Callable[[], int]:
        def run() -> int:
            under_way.append(number)
            assert under_way == [number]
            time.sleep(0.002)
            ran.append(number)
            under_way.remove(number)
            return number

        return run

    for number in range(40):
        carrier.run("i-1", job(number), answers)
    assert [answer.value for answer in answers.wait(40)] == list(range(40))
    assert ran == list(range(40))


def test_jobs_of_different_keys_run_side_by_side(carrier: ThreadCarrier) -> None:
    meet = threading.Barrier(8)
    answers = Answers()
    for number in range(8):
        carrier.run(f"i-{number}", lambda: meet.wait(5), answers)
    assert all(answer.error is None for answer in answers.wait(8))


def test_long_jobs_leave_calls_alone(carrier, remote) -> None:
    for number in range(20):
        carrier.run(f"i-{number}", lambda: remote.release.wait(10), lambda _: None)
    answers = Answers()
    carrier.call("peer", "report", {}, answers)
    answers.wait(1, 1)


def test_an_answer_that_raises_harms_nothing(carrier, caplog) -> None:
    def broken(answer: Answer) -> None:
        raise RuntimeError("cannot take it")

    answers = Answers()
    for _ in range(20):
        carrier.call("peer", "report", {}, broken)
    carrier.call("peer", "report", {}, answers)
    answers.wait(1)
    assert "cannot take it" in caplog.text


def test_an_answer_may_ask_for_more_of_the_same_key(carrier: ThreadCarrier) -> None:
    answers = Answers()
    carrier.run("i-1", lambda: 1, lambda answer: carrier.run("i-1", lambda: 2, answers))
    assert answers.wait(1)[0].value == 2


def test_stopping_answers_what_still_waits_and_refuses_what_comes(remote) -> None:
    carrier = ThreadCarrier(remote, 2)  # type: ignore[arg-type]
    answers, late = Answers(), Answers()
    for _ in range(10):
        carrier.call("silent", "report", {}, answers)
    time.sleep(0.05)
    threading.Timer(0.1, remote.release.set).start()
    carrier.stop()
    assert len(answers.wait(10)) == 10
    assert {answer.error.symbol for answer in answers.all} == {"unavailable", "unreachable"}
    carrier.call("peer", "report", {}, late)
    assert late.wait(1)[0].error.symbol == "unavailable"


def test_no_burst_leaves_a_job_behind(carrier: ThreadCarrier) -> None:
    answers = Answers()

    def burst(start: int) -> None:
        for number in range(200):
            carrier.run(f"k{(start + number) % 17}", lambda: None, answers)

    threads = [threading.Thread(target=burst, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    assert len(answers.wait(1000, 10)) == 1000
