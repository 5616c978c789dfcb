"""A console is answered by its node or, within seconds, by a reason why not; a few are asked for at a time."""

from __future__ import annotations

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.cloud import consoles
from euca_rpc.errors import EucaError
from euca_rpc.types import LaunchRequest


@pytest.fixture
def running(bench):
    """The ids of machines whose nodes were told of them."""
    bench.add_node(cores=8)
    made = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001", 5, 5))
    bench.clock.advance(1_000_000)
    bench.cloud.step()
    return list(made.reservation.instance_ids)


def ask(bench, id):
    return bench.cloud.core.instances.console(bench.caller, id)


def asked(bench):
    """The carrier's calls for consoles: what answers each."""
    return [call[3] for call in bench.carrier.take("console")]


def test_what_the_node_says_is_answered(bench, running):
    future = ask(bench, running[0])
    assert not future.done()
    (answer,) = asked(bench)
    answer(Answer({"text": b"login:", "at": 5}))
    shown = future.result(0)
    assert (shown.instance_id, shown.text, shown.at) == (running[0], b"login:", 5)
    refused = ask(bench, running[1])
    asked(bench)[0](Answer(error=EucaError("unreachable", "connection refused")))
    with pytest.raises(EucaError, match="connection refused"):
        refused.result(0)


def test_a_machine_that_no_node_was_told_of_has_an_empty_one(bench):
    bench.add_node()
    made = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001"))
    assert ask(bench, made.instances[0].instance.id).result(0).text == b""
    assert asked(bench) == []


def test_silence_ends_as_unreachable_and_the_late_answer_is_nobodys(bench, running):
    future = ask(bench, running[0])
    (answer,) = asked(bench)
    bench.clock.advance(consoles.PATIENCE - 1)
    bench.cloud.step()
    assert not future.done()
    bench.clock.advance(1)
    bench.cloud.step()
    with pytest.raises(EucaError) as silent:
        future.result(0)
    assert silent.value.symbol == "unreachable"
    assert running[0] in silent.value.sentence
    answer(Answer({"text": b"late", "at": 5}))
    with pytest.raises(EucaError):
        future.result(0)


def test_a_few_at_a_time_and_each_that_ends_makes_room(bench, running):
    waiting = [ask(bench, id) for id in running[: consoles.MOST]]
    with pytest.raises(EucaError) as refused:
        ask(bench, running[3])
    assert refused.value.symbol == "throttled"
    first, second, third = asked(bench)  # the refused one was not asked for
    first(Answer({"text": b"1", "at": 1}))
    waiting.append(ask(bench, running[3]))
    second(Answer(error=EucaError("unreachable", "gone")))
    waiting.append(ask(bench, running[4]))
    with pytest.raises(EucaError, match="3 consoles"):
        ask(bench, running[0])
    bench.clock.advance(consoles.PATIENCE)
    bench.cloud.step()
    assert all(future.done() for future in waiting)
    third(Answer({"text": b"late", "at": 5}))  # gives back nothing twice
    for id in running[: consoles.MOST]:
        ask(bench, id)
    with pytest.raises(EucaError):
        ask(bench, running[3])
