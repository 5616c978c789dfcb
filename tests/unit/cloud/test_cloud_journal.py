"""What is left for the next commit: made by whoever commits next, its caller at the latest."""

from __future__ import annotations

import threading

import pytest

from euca_rpc.clock import ManualClock
from euca_rpc.cloud.changes import Insert, Outcome
from euca_rpc.cloud.journal import _AGAIN, _SLOW, Journal
from euca_rpc.cloud.launch import Conflict
from euca_rpc.cloud.store import Refused, Store
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.types import Zone


@pytest.fixture
def journal(tmp_path):
    store = Store(tmp_path / "a.db")
    yield Journal(store, View(), ManualClock())
    store.close()


def zone(name):
    return lambda view, now: Outcome((Insert(Zone(name, 1)),), result=name)


def commits(journal) -> list[list[str]]:
    """What each commit from now on has made."""
    made = []
    journal.published = lambda view, changes: made.append([change.row.name for change in changes])
    return made


def test_it_is_not_committed_until_somebody_hurries(journal):
    made, woken = commits(journal), []
    journal.wake = lambda: woken.append(1)
    left = [journal.soon(zone(name)) for name in ("a", "b", "c")]
    assert not any(one.done() for one in left)
    assert (made, woken, sorted(journal.view.zones)) == ([], [], [])
    left[2].hurry()
    assert [one.result(0) for one in left] == ["a", "b", "c"]
    assert (made, woken) == ([["a", "b", "c"]], []), "one commit for all, by who hurried"
    left[0].hurry()
    assert made == [["a", "b", "c"]], "nothing is left to do"


@pytest.mark.parametrize("how", ["do", "submit", "pump_all"])
def test_whoever_commits_next_commits_it(journal, how):
    made, left = commits(journal), journal.soon(zone("left"))
    if how == "pump_all":
        journal.pump_all()
    else:
        getattr(journal, how)(zone("next"))
    assert left.result(0) == "left"
    assert made == [["left"] if how == "pump_all" else ["left", "next"]]


@pytest.mark.parametrize("how", ["do", "hurry"])
def test_who_hurries_while_another_commits_is_seen_to_by_that_one(journal, how):
    inside, go_on, left, answered = threading.Event(), threading.Event(), [], threading.Event()

    def slowly(view, now):
        inside.set()
        assert go_on.wait(10)
        return zone("first")(view, now)

    commit = (lambda: journal.do(slowly)) if how == "do" else journal.soon(slowly).hurry
    other = threading.Thread(target=commit)
    other.start()
    assert inside.wait(10)
    left.append(journal.soon(zone("second")))
    left[0].add_done_callback(lambda done: answered.set())
    left[0].hurry()  # comes back at once: the other has it
    assert not left[0].done()
    go_on.set()
    assert answered.wait(10)
    other.join(10)
    assert left[0].result(0) == "second"
    assert sorted(journal.view.zones) == ["first", "second"]


@pytest.mark.parametrize(("took", "woken"), [(_SLOW, []), (_SLOW + 1, [1])])
def test_a_slow_disk_is_the_writers_to_wait_for(journal, took, woken):
    told = []
    journal.wake = lambda: told.append(1)

    def slowly(view, now):
        journal._clock.advance(took)
        return Outcome()

    journal.do(slowly)
    left = journal.soon(zone("left"))
    left.hurry()
    assert told == woken
    assert left.done() == (not woken)
    journal.pump_all()  # as the writer does
    assert left.result(0) == "left"
    journal.soon(zone("later")).hurry()
    assert told == woken, "a quick commit, and the disk is quick again"


def test_a_refusal_reaches_its_own_and_nobody_else(journal):
    def refuses(error):
        def verb(view, now):
            raise error

        return verb

    left = [
        journal.soon(zone("a")),
        journal.soon(refuses(Conflict("room"))),
        journal.soon(refuses(EucaError("denied", "no"))),
        journal.soon(zone("b")),
    ]
    left[0].hurry()
    assert (left[0].result(0), left[3].result(0)) == ("a", "b")
    assert isinstance(left[1].exception(0), Conflict)
    assert isinstance(left[2].exception(0), EucaError)


@pytest.mark.parametrize("used", [1, _AGAIN, _AGAIN + 1])
def test_an_id_that_was_used_before_is_drawn_again_for_it_too(journal, used):
    journal.do(zone("old"))
    journal.view = View()  # the row has left the view
    names = iter(["old"] * 2 * used)
    draws = []

    def draw(view, now):
        """Twice at first: together, then by itself."""
        draws.append(next(names, "new"))
        return zone(draws[-1])(view, now)

    left, other = journal.soon(draw), journal.soon(zone("other"))
    left.hurry()
    assert other.result(0) == "other"
    if used > _AGAIN:
        assert isinstance(left.exception(0), Refused)
    else:
        assert left.result(0) == "new"
    assert not journal._queue
