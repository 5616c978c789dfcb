"""Launch, observe, terminate against a real store: nothing lost, nothing over-claimed, refusals with reasons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from euca_rpc.cloud import lifecycle, nodes
from euca_rpc.cloud.accounts import set_quota
from euca_rpc.cloud.gathering import GATHER
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport
from euca_rpc.types import LaunchRequest, Quota, Size, Usage


def launch(bench, n=1, **kw):
    return bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001", n, n, **kw))


def state(bench, instance_id):
    return lifecycle.state(bench.view.instances[instance_id])


def test_a_launch_is_durable_before_it_is_answered(bench, reopen):
    bench.add_node()
    made = launch(bench, 2)
    again = reopen(bench)
    assert sorted(again.view.instances) == sorted(made.reservation.instance_ids)
    assert again.view.targets["open/h1"].claimed == Size(2, 256, 20)
    assert again.view.addresses == bench.view.addresses
    again.cloud.store.close()


def test_ensure_is_counted_before_it_is_sent_and_running_is_said_after_it_was_seen(bench, reopen):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.clock.advance(GATHER)
    bench.cloud.step()
    ((peer, _, args, _),) = bench.carrier.take("ensure")
    assert peer == "euca.cluster.open"
    (spec,) = args["specs"]
    assert (spec["instance_id"], spec["generation"], spec["fresh"]) == (i, 1, True)
    assert bench.view.instances[i].attempted
    bench.cloud.step()
    assert bench.carrier.take("ensure") == []  # not again before its moment
    assert state(bench, i) == "pending"
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    assert state(bench, i) == "running"
    assert bench.cloud.store.select(Usage)[0].ended is None
    bench.cloud.core.instances.terminate(bench.caller, [i])
    assert state(bench, i) == "shutting-down"
    bench.cloud.step()
    assert len(bench.carrier.take("absent")) == 1
    bench.report(machines=[MachineReport(i, 1, 0, "absent")])
    assert state(bench, i) == "terminated"
    assert bench.view.targets["open/h1"].claimed == Size()
    (usage,) = bench.cloud.store.select(Usage)
    assert usage.ended > usage.began


def test_a_terminate_survives_a_restart(bench, reopen):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    bench.cloud.core.instances.terminate(bench.caller, [i])
    again = reopen(bench)
    again.report()  # heard again, but the machine is not mentioned: that ends nothing
    assert state(again, i) == "shutting-down"
    again.cloud.step()
    assert len(again.carrier.take("absent")) == 1
    again.cloud.store.close()


def test_64_launches_under_a_quota_of_10_give_exactly_10(bench):
    bench.add_node(cores=100, memory=100_000, disk=10_000)
    bench.cloud.journal.do(set_quota(bench.caller, Quota(f"account/{bench.caller.account_id}", 10)))

    def one(_):
        try:
            return len(launch(bench).reservation.instance_ids)
        except EucaError as e:
            return e.symbol

    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(one, range(64)))
    assert results.count(1) == 10
    assert set(results) <= {1, "quota_exceeded", "capacity_exhausted"}
    assert len(bench.view.instances) == 10


def test_concurrent_launches_never_take_more_than_is_offered(bench):
    bench.add_node(cores=7, memory=100_000, disk=10_000)
    bench.cloud.journal.do(set_quota(bench.caller, Quota(f"account/{bench.caller.account_id}", -1)))

    def one(_):
        try:
            launch(bench)
        except EucaError as e:
            return e.symbol
        return "made"

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(40)))
    assert bench.view.targets["open/h1"].claimed.cores == results.count("made") <= 7
    assert results.count("made") == 7


def test_client_token_repeats_the_reservation_and_refuses_another_request(bench, reopen):
    bench.add_node()
    first = launch(bench, client_token="t1")
    assert launch(bench, client_token="t1").reservation == first.reservation
    again = reopen(bench)
    again.report()
    assert launch(again, client_token="t1").reservation == first.reservation
    with pytest.raises(EucaError) as refused:
        launch(again, 2, client_token="t1")
    assert refused.value.symbol == "token_mismatch"
    again.cloud.store.close()


def test_silence_changes_no_state_and_keeps_claims(bench):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    for _ in range(10):
        bench.answer("open", error=EucaError("unreachable", "no answer"))
    assert state(bench, i) == "running"
    assert bench.view.targets["open/h1"].claimed == Size(1, 128, 10)
    assert "silent since" in bench.view.targets["open/h1"].why
    with pytest.raises(EucaError, match="1 asked for"):
        launch(bench)


def test_a_report_counts_only_for_the_nodes_own_instances(bench):
    bench.add_node(host="h1")
    bench.add_node(host="h2")
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    other = "h2" if bench.view.instances[i].node == "open/h1" else "h1"
    bench.report(host=other, machines=[MachineReport(i, 1, 0, "running")])
    assert state(bench, i) == "pending"


def test_host_loss_starts_the_same_disk_again_at_most_three_times_an_hour(bench):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    for generation in range(1, 5):
        bench.report(machines=[MachineReport(i, generation, 0, "running")])
        assert state(bench, i) == "running"
        bench.carrier.take("ensure")
        bench.report(machines=[MachineReport(i, generation, 0, "stopped", end="host")])
        bench.cloud.step()
        sent = bench.carrier.take("ensure")
        if generation < 4:
            assert state(bench, i) == "pending"
            assert sent[0][2]["specs"][0]["fresh"] is False
            assert sent[0][2]["specs"][0]["generation"] == generation + 1
    assert state(bench, i) == "stopped"
    assert "3 times" in bench.view.instances[i].reason


def test_power_off_from_inside_follows_the_shutdown_behaviour(bench):
    bench.add_node()
    a = launch(bench).reservation.instance_ids[0]
    b = launch(bench, shutdown_behavior="stop").reservation.instance_ids[0]
    bench.cloud.step()
    bench.report(machines=[MachineReport(x, 1, 0, "running") for x in (a, b)])
    bench.report(machines=[MachineReport(x, 1, 0, "stopped", end="guest") for x in (a, b)])
    assert (state(bench, a), state(bench, b)) == ("shutting-down", "stopped")
    assert bench.view.instances[a].reason_code == "Client.InstanceInitiatedShutdown"


def test_stopped_gives_back_cores_keeps_disk_and_start_claims_again(bench):
    bench.add_node(cores=1)
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    bench.cloud.core.instances.stop(bench.caller, [i])
    bench.cloud.step()
    assert len(bench.carrier.take("stop")) == 1
    bench.report(machines=[MachineReport(i, 1, 0, "stopped", end="asked")])
    assert state(bench, i) == "stopped"
    assert bench.view.targets["open/h1"].claimed == Size(0, 0, 10)
    (j,) = launch(bench).reservation.instance_ids
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.instances.start(bench.caller, [i])
    assert refused.value.symbol == "capacity_exhausted"
    bench.cloud.core.instances.terminate(bench.caller, [j])
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "stopped", end="asked"), MachineReport(j, 1, 0, "absent")])
    bench.cloud.core.instances.start(bench.caller, [i])
    assert bench.view.instances[i].generation == 2


def test_a_deadline_ends_what_answers_and_waits_for_what_is_silent(bench):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "preparing")])
    for _ in range(10):
        bench.answer("open", error=EucaError("unreachable", "no answer"))
    bench.clock.advance(lifecycle.START_DEADLINE)
    bench.cloud.step()
    row = bench.view.instances[i]
    assert (state(bench, i), row.reason_code) == ("pending", "Server.NodeUnreachable")
    assert "silent since" in row.reason
    assert row.deadline == bench.clock.now() + lifecycle.START_DEADLINE
    bench.report(machines=[MachineReport(i, 1, 0, "preparing", detail="still at it")])
    bench.clock.advance(lifecycle.START_DEADLINE)
    bench.report()
    bench.cloud.step()
    assert state(bench, i) == "shutting-down"
    assert "still at it" in bench.view.instances[i].reason


def test_fence_ends_everything_of_the_node_in_one_transaction(bench):
    bench.add_node()
    ids = launch(bench, 3).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running") for i in ids])
    bench.cloud.journal.do(nodes.fence(bench.caller, "h1"))
    assert {state(bench, i) for i in ids} == {"terminated"}
    assert bench.view.targets["open/h1"].claimed == Size()
    assert all(u.ended for u in bench.cloud.store.select(Usage))


def test_a_fenced_node_that_is_added_again_is_told_nothing_but_absent_until_it_is_empty(bench):
    bench.add_node()
    (old,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    running = MachineReport(old, 1, 0, "running")
    bench.report(machines=[running])
    bench.carrier.take("ensure")
    bench.cloud.journal.do(nodes.fence(bench.caller, "h1"))
    bench.cloud.journal.do(nodes.add(bench.caller, "open", "h1"))
    assert bench.view.nodes["open/h1"].admin_state == "returning"
    assert "open/h1" not in bench.view.contacts

    bench.report(machines=[running])  # back, and what it had goes on
    assert "added again" in bench.view.targets["open/h1"].why
    with pytest.raises(EucaError) as refused:
        launch(bench)
    assert refused.value.symbol == "capacity_exhausted"
    with pytest.raises(EucaError, match="takes no machines until it has said that nothing of before is left"):
        bench.cloud.journal.do(nodes.set_state(bench.caller, "h1", "drained"))
    ((_, _, args, _),) = bench.carrier.take("absent")
    assert args["items"] == [{"instance_id": old, "generation": 1, "keep_disk": True}]
    assert not bench.carrier.take("ensure")

    gone = MachineReport(old, 1, 0, "absent")
    bench.report(machines=[gone])
    assert bench.view.nodes["open/h1"].admin_state == "active"
    (new,) = launch(bench).reservation.instance_ids
    bench.report(machines=[gone])
    assert [args["specs"][0]["instance_id"] for _, _, args, _ in bench.carrier.take("ensure")] == [new]


def test_a_removed_node_comes_back_as_soon_as_it_says_that_it_is_empty(bench):
    bench.add_node()
    bench.cloud.journal.do(nodes.remove(bench.caller, "h1"))
    bench.cloud.journal.do(nodes.add(bench.caller, "open", "h1"))
    assert not bench.view.targets["open/h1"].usable
    bench.report()
    assert bench.view.targets["open/h1"].usable


def test_remove_is_refused_while_machines_are_there(bench):
    bench.add_node()
    launch(bench)
    with pytest.raises(EucaError, match="still has 1 instances"):
        bench.cloud.journal.do(nodes.remove(bench.caller, "h1"))


def test_reboot_is_sent_once_per_wish(bench):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    bench.cloud.core.instances.reboot(bench.caller, [i])
    bench.cloud.step()
    ((_, _, args, _),) = bench.carrier.take("reboot")
    assert args["items"] == [{"instance_id": i, "generation": 1, "reboots": 1}]
    bench.report(machines=[MachineReport(i, 1, 1, "running")])
    bench.clock.advance(60_000_000)
    bench.cloud.step()
    assert bench.carrier.take("reboot") == []


def test_one_unknown_id_refuses_the_whole_request(bench):
    bench.add_node()
    (i,) = launch(bench).reservation.instance_ids
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.instances.terminate(bench.caller, [i, "i-ffffffff"])
    assert refused.value.symbol == "instance_not_found"
    assert state(bench, i) == "pending"
