"""The power of nodes: only an empty one sleeps, its silence is as it should be, and it is woken when it is wished."""

from __future__ import annotations

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud import admin, nodes, power, reconcile
from euca_rpc.cloud.changes import Put, Soft
from euca_rpc.cloud.power import Order, Turn
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.machines import NodeReport
from euca_rpc.types import Contact, LaunchRequest, Node, Zone
from euca_rpc.wire.codec import pack

NOW = 1000 * HOUR
ID = "z/h"


def node(state, since=NOW, deadline=None, try_=NOW, admin_state="active") -> Node:
    return Node(
        ID, "z", "h", admin_state, power=state, power_since=since, power_deadline=deadline, power_try=try_,
        mac="52:54:00:12:34:56", why="idle", sleeps=True,
    )  # fmt: skip


UP, SILENT, UNHEARD = Contact(ID, heard_at=NOW), Contact(ID, NOW - HOUR, NOW - MINUTE), None
ZONE_UP, ZONE_SILENT = Contact("z", heard_at=NOW), Contact("z", NOW - HOUR, NOW - MINUTE)


def view(one, contact=UP, zone=ZONE_UP) -> View:
    soft = [Soft(c) for c in (contact, zone) if c is not None]
    return View().apply([Put(Zone("z", 0)), Put(one), *soft])


LATER = NOW + MINUTE
SLEEP, ROUSE, TURNED, NOTHING = [Order("sleep", ID)], [Order("rouse", ID)], [Turn((ID,))], []


@pytest.mark.parametrize(
    ("row", "contact", "zone", "actions", "due"),
    [
        (node("on"), UP, ZONE_UP, NOTHING, None),
        (node("on"), SILENT, ZONE_UP, NOTHING, None),  # that is trouble, and not of power
        (node("sleeping", deadline=LATER), UP, ZONE_UP, SLEEP, LATER),
        (node("sleeping", deadline=LATER, try_=NOW + 1), UP, ZONE_UP, NOTHING, NOW + 1),
        (node("sleeping", NOW - MINUTE, LATER), UP, ZONE_UP, NOTHING, LATER),  # the order holds no more
        (node("sleeping", deadline=LATER), UP, ZONE_SILENT, NOTHING, LATER),
        (node("sleeping", deadline=LATER), SILENT, ZONE_UP, TURNED, None),
        (node("sleeping", NOW - HOUR, NOW), UP, ZONE_UP, TURNED, None),  # it stayed awake
        (node("sleeping", NOW - HOUR, NOW), UP, ZONE_SILENT, NOTHING, None),  # nobody knows
        (node("asleep"), SILENT, ZONE_UP, NOTHING, None),
        (node("asleep"), SILENT, ZONE_SILENT, NOTHING, None),
        (node("asleep"), UNHEARD, ZONE_UP, NOTHING, None),  # the cloud controller has just started
        (node("asleep"), UP, ZONE_UP, TURNED, None),
        (node("waking", deadline=LATER), SILENT, ZONE_UP, ROUSE, LATER),
        (node("waking", deadline=LATER, try_=NOW + 1), SILENT, ZONE_UP, NOTHING, NOW + 1),
        (node("waking", deadline=LATER), UP, ZONE_UP, TURNED, None),
        (node("waking", deadline=NOW), SILENT, ZONE_UP, TURNED, None),
        (node("waking"), SILENT, ZONE_UP, ROUSE, None),  # overdue: asked again and again
        (node("asleep", admin_state="fenced"), UP, ZONE_UP, NOTHING, None),
        (node("waking", admin_state="removed"), SILENT, ZONE_UP, NOTHING, None),
    ],
)
def test_what_is_due(row, contact, zone, actions, due):
    assert power.decide(view(row, contact, zone), NOW) == (actions, due)


@pytest.mark.parametrize(
    ("row", "contact", "becomes", "kind"),
    [
        (node("sleeping", deadline=LATER), SILENT, "asleep", "node.asleep"),
        (node("sleeping", NOW - HOUR, NOW), UP, "on", "node.stayed_awake"),
        (node("asleep"), UP, "on", "node.awake"),
        (node("waking", deadline=LATER), UP, "on", "node.awake"),
        (node("waking", deadline=NOW), SILENT, "waking", "node.sleeps_on"),
    ],
)
def test_what_a_node_becomes(row, contact, becomes, kind):
    before = view(row, contact)
    done = power.mark_turned(before, NOW, [ID])
    after = before.apply(done.changes)
    assert after.nodes[ID].power == becomes
    assert [e.kind for e in done.events] == [kind]
    assert power.mark_turned(after, NOW, [ID]).changes == ()
    assert after.targets[ID].usable == (becomes == "on")
    assert (ID in after.resting) == (becomes != "on")


def test_one_that_does_not_wake_says_so():
    before = view(node("waking", deadline=NOW), SILENT)
    after = before.apply(power.mark_turned(before, NOW, [ID]).changes)
    row = after.nodes[ID]
    assert power.overdue(row)
    assert row.why == "idle; it did not wake within 10 minutes and is asked again"
    assert "did not wake" in after.targets[ID].why


# ---------------------------------------------------------------------------------------------- with everything
def say(bench, silent=False, host="h1", sleeps=True):
    """The zone answers, with this node awake or asleep."""
    id, now = f"open/{host}", bench.clock.now() + 3 * SECOND
    told = NodeReport(id, "boot-1", "simulated", "x86_64", bench.view.nodes[id].offer, 1, sleeps=sleeps)
    entry = {
        "heard_at": now,
        "silent_since": now if silent else None,
        "trouble": "",
        "version": 1,
        "report": pack(told),
    }
    bench.answer("open", {"zone": "open", "start_id": "s", "roster": True, "nodes": {id: entry}})
    bench.cloud.step()


@pytest.fixture
def farm(bench):
    bench.add_node(host="h1")
    say(bench)
    return bench


def command(bench, verb, **args):
    return admin.call(admin.Context(bench.cloud, None, None), bench.caller, verb, args)


def state(bench):
    return bench.view.nodes["open/h1"].power


def go_to_sleep(farm):
    assert command(farm, "node_sleep", name="h1") == {"id": "open/h1", "power": "sleeping"}
    farm.cloud.step()
    (order,) = farm.carrier.take("sleep")
    assert order[0] == "euca.cluster.open"
    assert order[2] == {"node": "open/h1", "until": farm.clock.now() + power.ORDER_HOLDS}
    order[3](Answer({"accepted": True}))
    say(farm, silent=True)
    assert state(farm) == "asleep"


def test_to_sleep_and_back(farm):
    go_to_sleep(farm)
    (row,) = command(farm, "nodes")
    assert (row["power"], row["up"]) == ("asleep", False)
    assert row["trouble"].startswith("asleep to save power since ")
    told = command(farm, "status")
    assert told["nodes"]["silent"] == []
    assert list(told["nodes"]["resting"]) == ["open/h1"]
    assert farm.view.targets["open/h1"].why.startswith("asleep to save power since ")
    with pytest.raises(EucaError) as refused:
        farm.cloud.core.instances.launch(farm.caller, LaunchRequest("emi-00000001"))
    assert refused.value.symbol == "capacity_exhausted"
    command(farm, "node_wake", name="h1")
    farm.cloud.step()
    (order,) = farm.carrier.take("rouse")
    assert order[2] == {"node": "open/h1", "mac": ""}
    say(farm)
    assert state(farm) == "on"
    assert [e.kind for e in farm.cloud.store.events("open/h1") if e.kind.startswith("node.")][:4] == [
        "node.awake", "node.wake", "node.asleep", "node.sleep"
    ]  # fmt: skip
    farm.cloud.core.instances.launch(farm.caller, LaunchRequest("emi-00000001"))


def test_one_that_does_not_wake_is_raised(farm):
    go_to_sleep(farm)
    command(farm, "node_wake", name="h1")
    farm.clock.advance(power.RISE)
    farm.cloud.step()
    told = command(farm, "status")["nodes"]
    assert (told["silent"], told["resting"]) == ([], {})
    assert "did not wake within 10 minutes" in told["not_waking"]["open/h1"]
    (shown,) = farm.cloud.core.nodes.describe(farm.caller)
    assert "did not wake" in shown.reach.trouble


def test_the_power_of_a_node_is_durable(farm, reopen):
    go_to_sleep(farm)
    again = reopen(farm)
    assert state(again) == "asleep"
    again.cloud.step()
    say(again, silent=True)
    assert state(again) == "asleep"
    say(again)
    assert state(again) == "on"
    assert again.view.nodes["open/h1"].why == "it woke by itself"


def test_only_an_empty_node_that_answers_and_can_sleep_is_put_to_sleep(farm):
    farm.add_node(host="h2")
    with pytest.raises(EucaError, match=r"no \[node\] sleep_command"):
        command(farm, "node_sleep", name="h2")
    command(farm, "node_drain", name="h1")
    with pytest.raises(EucaError, match="it is drained"):
        command(farm, "node_sleep", name="h1")
    command(farm, "node_undrain", name="h1")
    farm.cloud.core.instances.launch(farm.caller, LaunchRequest("emi-00000001"))
    with pytest.raises(EucaError, match="it has 1 instances"):
        command(farm, "node_sleep", name="h1")
    assert state(farm) == "on"


def test_no_machine_is_placed_where_sleep_was_ordered_in_between(farm):
    """The launch was placed on the snapshot before; its transaction looks again."""
    core = farm.cloud._instances
    real = core._placer

    class Slow:
        def place(self, *asked):
            found = real.place(*asked)
            if state(farm) == "on":
                command(farm, "node_sleep", name="h1")
            return found

        def lease(self, *asked):
            return None

    core._placer = Slow()
    with pytest.raises(EucaError) as refused:
        farm.cloud.core.instances.launch(farm.caller, LaunchRequest("emi-00000001"))
    assert refused.value.symbol == "capacity_exhausted"
    assert not farm.view.instances


def test_what_the_node_refuses_is_on_again_with_the_reason(farm):
    command(farm, "node_sleep", name="h1")
    farm.cloud.step()
    (order,) = farm.carrier.take("sleep")
    order[3](Answer(None, EucaError("unreachable", "nobody is there")))
    assert state(farm) == "sleeping", "silence says nothing"
    order[3](Answer(None, EucaError("state_conflict", "Node open/h1 holds 1 machines.")))
    assert (state(farm), farm.view.nodes["open/h1"].why) == ("on", "Node open/h1 holds 1 machines.")


def test_a_lost_order_is_sent_again_and_given_up(farm):
    command(farm, "node_sleep", name="h1")
    farm.cloud.step()
    farm.carrier.take("sleep")
    farm.clock.advance(power.AGAIN)
    farm.cloud.step()
    assert len(farm.carrier.take("sleep")) == 1
    farm.clock.advance(power.ORDER_HOLDS)
    farm.cloud.step()
    assert not farm.carrier.take("sleep")
    farm.clock.advance(power.FALL)
    farm.carrier.calls.clear()
    farm.cloud.step()
    assert state(farm) == "on"


def test_one_on_its_way_to_sleep_cannot_be_woken_yet(farm):
    command(farm, "node_sleep", name="h1")
    with pytest.raises(EucaError, match="can be woken when it is asleep"):
        command(farm, "node_wake", name="h1")


def test_fence_drain_and_removal_of_one_that_sleeps(farm):
    go_to_sleep(farm)
    command(farm, "node_drain", name="h1")
    assert farm.view.targets["open/h1"].why == "drained by an administrator"
    assert state(farm) == "asleep"
    command(farm, "node_undrain", name="h1")
    farm.cloud.journal.do(nodes.remove(farm.caller, "h1"))
    assert not farm.view.resting
    assert command(farm, "node_wake", name="open/h1")["power"] == "asleep", "it is out: nobody asks it"
    farm.cloud.journal.do(nodes.add(farm.caller, "open", "h1"))
    assert state(farm) == "on"
    farm.cloud.journal.do(nodes.fence(farm.caller, "h1"))
    assert reconcile.reachable(farm.view, "open/h1") is False


def test_a_mac_address_that_is_none_is_not_kept(farm):
    id, now = "open/h1", farm.clock.now()
    for said, kept in (
        ("--help", ""),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("52:54:00:12:34:56;x", ""),
    ):
        told = NodeReport(id, "b", "simulated", "x86_64", farm.view.nodes[id].offer, 9, mac=said)
        entry = {"heard_at": now, "silent_since": None, "trouble": "", "version": 9, "report": pack(told)}
        farm.answer("open", {"zone": "open", "start_id": "s", "roster": True, "nodes": {id: entry}})
        assert farm.view.nodes[id].mac == kept
