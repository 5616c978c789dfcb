"""Whom to ask for a report, and when."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from euca_rpc.clock import SECOND
from euca_rpc.cloud.polling import Polls

EVERY = 2 * SECOND


@pytest.fixture
def polls() -> Polls:
    return Polls(EVERY)


def test_a_new_zone_is_asked_at_once_and_then_now_and_then(polls: Polls) -> None:
    ((zone, question),), due = polls.take_due({"z": 0}, 0)
    assert (zone, due) == ("z", None)
    assert polls.take_due({"z": 0}, 100 * SECOND) == ([], None), "one question at a time"
    assert polls.heard("z", question)
    polls.over("z", question, 100 * SECOND)
    assert polls.take_due({"z": 0}, 101 * SECOND) == ([], 102 * SECOND)
    assert [zone for zone, _ in polls.take_due({"z": 0}, 102 * SECOND)[0]] == ["z"]


def test_an_answer_counts_once_and_only_to_the_last_question(polls: Polls) -> None:
    ((_, first),), _ = polls.take_due({"z": 0}, 0)
    assert (polls.heard("z", first), polls.heard("z", first)) == (True, False)
    polls.over("z", first, 0)
    ((_, second),), _ = polls.take_due({"z": 0}, EVERY)
    assert (polls.heard("z", first), polls.heard("z", second)) == (False, True)
    polls.over("z", first, EVERY)  # nothing: it is over since long
    assert polls.take_due({"z": 0}, 9 * EVERY) == ([], None)


def test_a_zone_that_came_again_is_another(polls: Polls) -> None:
    ((_, before),), _ = polls.take_due({"z": 0}, 0)
    polls.confirmed("z", ("start", 1))
    polls.take_due({}, 1)
    ((_, now),), _ = polls.take_due({"z": 0}, 2)
    assert (polls.told("z"), polls.heard("z", before), polls.heard("z", now)) == ((), False, True)


def test_who_confirmed_the_roster_is_asked_what_it_heard_since(polls: Polls) -> None:
    ((_, question),), _ = polls.take_due({"z": 0}, 0)
    polls.over("z", question, 0)
    polls.confirmed("z", ("start", 1))
    assert polls.told("z") == ("start", 1)
    assert len(polls.take_due({"z": 0}, 1)[0]) == 1


class News(RuleBasedStateMachine):
    """No poke is lost: whatever a zone had to say when it poked is asked for, before or after the question under way."""

    def __init__(self) -> None:
        super().__init__()
        self.polls, self.now = Polls(EVERY), 0
        self.said = {"a": 0, "b": 0}  # what each zone has to tell
        self.known = {"a": 0, "b": 0}
        self.under_way: dict[str, tuple[int, int]] = {}  # zone → question, what the answer will tell

    @rule(zone=st.sampled_from("ab"))
    def news(self, zone: str) -> None:
        self.said[zone] += 1
        self.polls.poke(zone)

    @rule(by=st.integers(0, 3))
    def step(self, by: int) -> None:
        self.now += by * SECOND
        for zone, question in self.polls.take_due({"a": 0, "b": 0}, self.now)[0]:
            assert zone not in self.under_way
            self.under_way[zone] = (question, self.said[zone])

    @rule(zone=st.sampled_from("ab"))
    def answer(self, zone: str) -> None:
        if zone in self.under_way:
            question, self.known[zone] = self.under_way.pop(zone)
            assert self.polls.heard(zone, question)
            self.polls.over(zone, question, self.now)

    @invariant()
    def a_step_now_would_ask(self) -> None:
        for zone in "ab":
            told = self.under_way[zone][1] if zone in self.under_way else self.known[zone]
            state = self.polls._zones.get(zone)
            assert told == self.said[zone] or state is None or state.poked


TestNews = News.TestCase
TestNews.settings = settings(max_examples=60, deadline=None)
