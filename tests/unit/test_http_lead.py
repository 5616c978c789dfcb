"""One leads at a time, whatever it is stuck in."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from euca_rpc.http import lead
from euca_rpc.http.lead import Lead


class Body:
    """What leaders do in these tests: whatever they are told, one after the other."""

    def __init__(self, most: int) -> None:
        self.told: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.began: list[tuple[float, int]] = []  # when somebody began to lead, and who
        self.deposed: list[int] = []
        self.together: list[str] = []  # must stay empty
        self._owner = 0  # the thread that touched last what only the leader touches
        self.lead = Lead("test", self._run, most)

    def _run(self) -> None:
        me = threading.get_ident()
        self.began.append((time.monotonic(), me))
        while not self.lead.ended.is_set():
            self._owns(me)
            try:
                thing = self.told.get(timeout=0.02)
            except queue.Empty:
                self._owns(me)
                self.lead.rests()
                continue
            self._owns(me)
            self._owner = 0
            self.lead.enter()
            thing()
            if not self.lead.out():
                self.deposed.append(me)
                return

    def _owns(self, me: int) -> None:
        """What only the leader touches."""
        if not self.lead.leads() or self._owner not in (0, me):
            self.together.append(f"{me} leads, and {self._owner} did")
        self._owner = me
        time.sleep(0)
        if self._owner != me:
            self.together.append(f"{me} led, and {self._owner} does")


@pytest.fixture
def leading() -> Iterator[Callable[[int], Body]]:
    bodies = []

    def start(most: int) -> Body:
        bodies.append(Body(most))
        bodies[-1].lead.start()
        return bodies[-1]

    yield start
    for body in bodies:
        body.lead.stop(5)
        assert not threads()
        assert not body.together


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("test-")]


class Thing:
    """Somebody is inside it until told to go on."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.at = 0.0

    def __call__(self) -> None:
        self.at = time.monotonic()
        self.entered.set()
        assert self.go_on.wait(20)


def done(body: Body, seconds: float = 5.0) -> bool:
    """Does anybody lead?"""
    did = threading.Event()
    body.told.put(did.set)
    return did.wait(seconds)


def test_another_leads_on_once_somebody_is_stuck(leading):
    body, thing = leading(3), Thing()
    assert done(body)
    body.told.put(thing)
    assert thing.entered.wait(5)
    assert done(body)
    time.sleep(6 * lead.STUCK)  # in which nobody else takes over: the second is in nothing
    (_, first), (at, second) = body.began
    assert first != second
    assert at - thing.at >= lead.STUCK
    assert body.deposed == []
    thing.go_on.set()
    assert done(body)
    time.sleep(3 * lead.STUCK)
    assert body.deposed == [first], "it was told"
    assert len(body.began) == 2


def test_what_is_quick_is_nobody_elses_however_much_of_it_there_is(leading, monkeypatch):
    monkeypatch.setattr(lead, "STUCK", 0.5)
    body = leading(3)
    for _ in range(40):
        body.told.put(lambda: time.sleep(0.02))
    assert done(body, 20)
    assert len(body.began) == 1
    assert body.deposed == []


def test_nobody_leads_while_all_are_stuck_until_one_comes_back(leading):
    body = leading(3)
    things = [Thing() for _ in range(3)]
    for thing in things:
        body.told.put(thing)
        assert thing.entered.wait(5)
    did = threading.Event()
    body.told.put(did.set)
    assert not did.wait(6 * lead.STUCK)
    things[1].go_on.set()
    assert did.wait(5)
    for thing in things:
        thing.go_on.set()
    assert done(body)
    until = time.monotonic() + 5
    while len(threads()) > 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(threads()) == 2, "one leads, one stands by"


def test_who_comes_out_just_then_leads_on_or_is_told(leading):
    """It comes out, and another finds it stuck, at the same moment: whoever is first."""
    body = leading(3)
    for turn in range(8):
        thing = Thing()
        body.told.put(thing)
        assert thing.entered.wait(5)
        with body.lead._lock:  # for which both wait
            if turn % 2:
                thing.go_on.set()
            time.sleep(2.2 * lead.STUCK)
            thing.go_on.set()
            time.sleep(0.002)
        assert done(body)
    assert body.together == []


def test_who_was_stuck_stands_by_again(leading):
    """Two threads, one of them stuck, five times."""
    body = leading(2)
    for _ in range(5):
        thing = Thing()
        body.told.put(thing)
        assert thing.entered.wait(5)
        assert done(body)
        thing.go_on.set()
    assert len({who for _, who in body.began}) == 2
    assert len(body.began) == 6


def test_who_takes_over_leads_also_if_the_system_has_no_thread_left(leading, monkeypatch):
    body, thing, start = leading(3), Thing(), threading.Thread.start
    assert done(body)  # so its deputy is there

    def refuses(thread: threading.Thread) -> None:
        if thread.name.startswith("test-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuses)
    body.told.put(thing)
    assert thing.entered.wait(5)
    assert done(body)
    thing.go_on.set()


def test_never_two_at_once(leading, monkeypatch):
    monkeypatch.setattr(lead, "STUCK", 0.004)
    body, drawn, did = leading(4), random.Random(14), []
    count, until = 0, time.monotonic() + 1.5

    def thing(seconds: float) -> None:
        time.sleep(seconds)
        did.append(seconds)

    while time.monotonic() < until:
        for _ in range(drawn.randrange(6)):
            seconds = drawn.choice((0.0, 0.0, 0.001, lead.STUCK * drawn.uniform(0.8, 2.5)))
            body.told.put(lambda seconds=seconds: thing(seconds))
            count += 1
        time.sleep(drawn.uniform(0.0, 0.03))
    deadline = time.monotonic() + 20
    while len(did) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(did) == count
    assert len(body.deposed) > 10, "nothing was tried"
    assert body.together == []
    assert 2 <= len(threads()) <= 4
