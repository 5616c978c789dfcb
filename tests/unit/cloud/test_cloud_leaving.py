"""What is over leaves the view an hour later, a token a day after that; the store keeps the machine."""

from __future__ import annotations

import pytest

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud.lifecycle import TOKEN_AFTER_END, VISIBLE_AFTER_END
from euca_rpc.types import Instance, LaunchRequest, Token


@pytest.fixture
def ended(bench):
    """A machine that was launched with a token and ended at once."""
    bench.add_node()
    made = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001", client_token="over"))
    (id,) = made.reservation.instance_ids
    bench.cloud.core.instances.terminate(bench.caller, [id])
    assert bench.view.instances[id].ended_at == bench.clock.at
    return id


def step_at(bench, moment):
    bench.clock.at = moment
    bench.cloud.step()


def test_it_is_seen_for_an_hour_and_at_most_a_minute_more(bench, ended):
    at = bench.clock.at
    step_at(bench, at + VISIBLE_AFTER_END - SECOND)
    assert ended in bench.view.instances
    step_at(bench, at + VISIBLE_AFTER_END + MINUTE)
    assert ended not in bench.view.instances
    assert not bench.view.reservations
    assert not bench.view.ended
    assert bench.cloud.store.one(Instance, ended).ended_at == at


def test_its_token_is_known_for_a_day_more(bench, ended):
    (key,) = [key for key in bench.view.tokens if key.endswith("/over")]
    step_at(bench, bench.clock.at + VISIBLE_AFTER_END + MINUTE)
    expires = bench.view.tokens[key].expires_at
    assert expires == bench.clock.at + TOKEN_AFTER_END
    assert [key] == [k for keys in bench.view.stale_tokens.values() for k in keys]
    for moment, known in ((expires - SECOND, True), (expires + MINUTE, False)):
        # the next prune takes it along: somebody else's machine was over for an hour
        (other, *_) = bench.cloud.core.instances.launch(
            bench.caller, LaunchRequest("emi-00000001")
        ).reservation.instance_ids
        bench.clock.at = moment - HOUR - 2 * MINUTE
        bench.cloud.core.instances.terminate(bench.caller, [other])
        step_at(bench, moment)
        assert (key in bench.view.tokens) is known
        assert (bench.cloud.store.one(Token, key) is not None) is known
    assert [k for keys in bench.view.stale_tokens.values() for k in keys] == []


def test_a_restart_finds_the_same(bench, ended, reopen):
    step_at(bench, bench.clock.at + 30 * MINUTE)
    again = reopen(bench)
    assert dict(again.view.ended) == dict(bench.view.ended) != {}
    step_at(again, bench.clock.at + 31 * MINUTE + VISIBLE_AFTER_END)
    assert ended not in again.view.instances
