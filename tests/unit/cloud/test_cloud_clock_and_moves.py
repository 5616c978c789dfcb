"""A clock that jumps ends nothing; a launch that never left may go to another node of its zone."""

from __future__ import annotations

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import ManualClock
from euca_rpc.cloud import lifecycle
from euca_rpc.machines import MachineReport
from euca_rpc.types import LaunchRequest


class JumpingClock(ManualClock):
    """Cloud time may be set; monotonic time only runs."""

    def __init__(self, start):
        super().__init__(start)
        self.ran = 0

    def monotonic(self):
        return self.ran

    def advance(self, by):
        self.at += by
        self.ran += by

    def jump(self, by):
        self.at += by


@pytest.fixture
def jumping(bench):
    clock = JumpingClock(bench.clock.at)
    bench.clock = bench.cloud.clock = bench.cloud.journal._clock = clock
    return bench


def test_a_clock_that_jumps_holds_deadlines_and_says_so(jumping):
    jumping.add_node()
    (i,) = jumping.cloud.core.instances.launch(
        jumping.caller, LaunchRequest("emi-00000001")
    ).reservation.instance_ids
    jumping.cloud.step()
    jumping.report(machines=[MachineReport(i, 1, 0, "preparing")])
    jumping.clock.jump(2 * lifecycle.START_DEADLINE)
    jumping.cloud.step()
    assert lifecycle.state(jumping.view.instances[i]) == "pending"
    assert "deadlines are held" in jumping.cloud.clock_trouble
    jumping.clock.jump(-2 * lifecycle.START_DEADLINE)
    jumping.cloud.step()
    assert jumping.cloud.clock_trouble == ""


def test_slow_corrections_are_no_jump(jumping):
    for _ in range(200):
        jumping.clock.advance(1_000_000)
        jumping.clock.jump(5_000_000)
        jumping.cloud.step()
        jumping.carrier.calls.clear()
    assert jumping.cloud.clock_trouble == ""


def test_never_attempted_on_a_silent_node_goes_to_another_of_the_zone(bench):
    bench.add_node(host="h1", cores=1)
    bench.add_node(host="h2", cores=1)
    (i,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001")
    ).reservation.instance_ids
    assert bench.view.instances[i].node == "open/h1"
    now = bench.clock.now()
    silent = {"heard_at": now, "silent_since": now, "trouble": "refused", "version": 1, "report": None}
    # the cluster says that h1 fell silent before the controller has sent anything to it
    bench.carrier.calls.clear()
    bench.clock.advance(3_000_000)
    ((_, question),) = bench.cloud._polls.take_due(["open"], bench.clock.now())[0]
    told = {"zone": "open", "start_id": "s", "roster": True, "nodes": {"open/h1": silent}}
    bench.cloud._answered("open", question, Answer(told))
    bench.cloud.step()
    row = bench.view.instances[i]
    assert (row.node, row.generation, row.attempted) == ("open/h2", 1, False)
    bench.cloud.step()
    ((_, _, args, _),) = bench.carrier.take("ensure")
    assert args["node"] == "open/h2"
    assert bench.view.targets["open/h1"].claimed.cores == 0


def test_an_attempted_one_never_moves(bench):
    bench.add_node(host="h1", cores=1)
    bench.add_node(host="h2", cores=1)
    (i,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001")
    ).reservation.instance_ids
    bench.cloud.step()  # sent
    now = bench.clock.now()
    silent = {"heard_at": now, "silent_since": now, "trouble": "refused", "version": 1, "report": None}
    bench.answer("open", {"zone": "open", "start_id": "s", "roster": True, "nodes": {"open/h1": silent}})
    for _ in range(3):
        bench.clock.advance(30_000_000)
        bench.cloud.step()
    assert bench.view.instances[i].node == "open/h1"
    assert bench.view.targets["open/h1"].claimed.cores == 1


def test_a_zone_that_pokes_while_it_is_asked_is_asked_again_at_once(bench):
    bench.add_node()
    bench.clock.advance(3_000_000)
    bench.cloud.step()
    ((*_, answer),) = bench.carrier.take("report")
    bench.cloud.poke("open")
    answer(Answer({"zone": "open", "start_id": "s", "roster": True, "nodes": {}}))
    bench.cloud.step()
    assert bench.carrier.take("report"), "what it had to say may have come after its answer was made"
    bench.cloud.step()
    assert not bench.carrier.take("report"), "once"
