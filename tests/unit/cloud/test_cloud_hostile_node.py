"""A node in the wrong hands can lie about its own machines and harms nobody else's."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import lifecycle
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.types import LaunchRequest, Size
from euca_rpc.wire.codec import pack


@pytest.fixture
def two(bench):
    bench.add_node(host="good")
    bench.add_node(host="bad")
    ids = [
        i
        for _ in range(8)
        for i in bench.cloud.core.instances.launch(
            bench.caller, LaunchRequest("emi-00000001")
        ).reservation.instance_ids
    ]
    bench.cloud.step()
    return bench, {
        n: [i for i in ids if bench.view.instances[i].node == f"open/{n}"] for n in ("good", "bad")
    }


def answer(bench, bad_report, good_machines):
    now = bench.clock.now()
    good = NodeReport("open/good", "b", "simulated", "x86_64", Size(4, 2048, 100), 5, tuple(good_machines))
    entry = {"heard_at": now, "silent_since": None, "trouble": "", "version": 5}
    bench.answer(
        "open",
        {
            "zone": "open",
            "start_id": "s",
            "roster": True,
            "nodes": {
                "open/bad": {**entry, "report": bad_report},
                "open/good": {**entry, "report": pack(good)},
            },
        },
    )


def bad(**changes):
    report = NodeReport("open/bad", "b", "simulated", "x86_64", Size(4, 2048, 100), 5, ())
    return {**pack(report), **changes}


def machine(i, **changes):
    return {**pack(MachineReport(i, 1, 0, "running")), **changes}


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda i: 17,
        lambda i: "text",
        lambda i: bad(machines=[machine(i, seen="exploded")]),
        lambda i: bad(machines=[machine(i, generation=2**80)]),
        lambda i: bad(machines=[machine(i, reboots=-1)]),
        lambda i: bad(machines=[machine(i, detail="x" * 100_000)]),
        lambda i: bad(machines=[17]),
        lambda i: bad(machines="many"),
        lambda i: bad(offer={"cores": 2**70, "memory_mb": 1, "disk_gb": 1}),
        lambda i: bad(offer={"cores": -5, "memory_mb": 1, "disk_gb": 1}),
        lambda i: bad(boot_id="b" * 10_000),
        lambda i: {},
    ],
)
def test_nonsense_of_one_node_is_its_own_trouble(two, nonsense):
    bench, ids = two
    good = ids["good"][0]
    answer(bench, nonsense(ids["bad"][0]), [MachineReport(i, 1, 0, "running") for i in ids["good"]])
    assert lifecycle.state(bench.view.instances[good]) == "running"
    assert lifecycle.state(bench.view.instances[ids["bad"][0]]) == "pending"
    assert "refused" in bench.view.targets["open/bad"].why
    assert bench.view.targets["open/good"].usable


def test_it_cannot_speak_for_others_machines_nor_move_addresses(two):
    bench, ids = two
    good, own = ids["good"][0], ids["bad"][0]
    address = bench.view.instances[good].public_address
    lies = [machine(good, seen="absent"), machine(own, public_address=address)]
    answer(bench, bad(machines=lies), [MachineReport(i, 1, 0, "running") for i in ids["good"]])
    assert lifecycle.state(bench.view.instances[good]) == "running"
    assert bench.view.instances[own].public_address != address
    assert bench.view.addresses[address] == good
