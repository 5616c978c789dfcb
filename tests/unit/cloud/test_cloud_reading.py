"""Reports are read once: what is said again in the same words costs a comparison."""

from __future__ import annotations

from euca_rpc.cloud import lifecycle, reading
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.types import LaunchRequest, Seen, Size
from euca_rpc.wire.codec import pack


def answer(*machines, version=1):
    told = NodeReport("open/h1", "boot-1", "simulated", "x86_64", Size(4, 2048, 100), version, machines)
    return {"zone": "open", "nodes": {"open/h1": {"version": version, "report": pack(told)}}}


def machine(id, seen=Seen.RUNNING):
    return MachineReport(id, 1, 0, seen)


def test_what_is_said_again_is_not_read_again(monkeypatch):
    reader = reading.Reader()
    first = reader.read(answer(machine("i-00000001"), machine("i-00000002")))["nodes"]["open/h1"]["report"]
    read = []
    original = reading.unpack
    monkeypatch.setattr(reading, "unpack", lambda cls, wire: (read.append(cls), original(cls, wire))[1])
    changed = machine("i-00000002", Seen.STOPPED)
    second = reader.read(answer(machine("i-00000001"), changed, version=2))["nodes"]["open/h1"]["report"]
    assert read == [MachineReport], "nor what the node says of itself"
    assert second.machines[0] is first.machines[0]
    assert second.machines[1] == changed
    assert second.version == 2


def test_what_a_node_says_of_itself_is_read_anew_when_it_changes():
    reader = reading.Reader()
    before = reader.read(answer())["nodes"]["open/h1"]["report"]
    other = answer(version=2)
    other["nodes"]["open/h1"]["report"]["offer"]["cores"] = 2
    assert before.offer.cores == 4
    assert reader.read(other)["nodes"]["open/h1"]["report"].offer.cores == 2
    for nonsense in ("3", -1, True, None):
        other["nodes"]["open/h1"]["report"]["version"] = nonsense
        told = reader.read(other)["nodes"]["open/h1"]
        assert told["report"] is None, f"{nonsense!r} is no version, though the rest is known"
        assert "version" in told["trouble"]


def test_a_machine_that_is_no_longer_mentioned_is_not_remembered():
    reader = reading.Reader()
    reader.read(answer(machine("i-00000001")))
    assert reader.read(answer())["nodes"]["open/h1"]["report"].machines == ()


def delta(since, version, *machines, gone=()):
    told = answer(*machines, version=version)
    told["nodes"]["open/h1"]["report"] |= {"since": since, "gone": list(gone)}
    return told


def test_a_delta_is_read_as_the_whole_report_that_it_means():
    reader = reading.Reader()
    one, two, three = (machine(f"i-0000000{n}") for n in (1, 2, 3))
    first = reader.read(answer(one, two, version=4))["nodes"]["open/h1"]["report"]
    stopped = machine("i-00000002", Seen.STOPPED)
    told = reader.read(delta(4, 7, stopped, three, gone=["i-00000001"]))["nodes"]["open/h1"]["report"]
    assert told == NodeReport(
        "open/h1", "boot-1", "simulated", "x86_64", Size(4, 2048, 100), 7, (stopped, three)
    )
    told = reader.read(delta(7, 8))["nodes"]["open/h1"]["report"]
    assert (told.version, told.machines) == (8, (stopped, three))
    assert first.machines == (one, two)


def test_a_delta_to_something_else_is_not_taken_and_the_whole_is_asked_for(bench):
    reader = reading.Reader()
    for known in (None, 5):
        if known is not None:
            reader.read(answer(machine("i-00000001"), version=known))
        told = reader.read(delta(4, 7, machine("i-00000002")))["nodes"]["open/h1"]
        assert (told["report"], told["version"], told.get("silent_since")) == (None, 0, None)
    bench.add_node()
    bench.report()
    (told,) = delta(12345, 12346)["nodes"].values()
    bench.answer("open", {"nodes": {"open/h1": {**told, "heard_at": 1}}})
    assert bench.cloud.journal.view.contacts["open/h1"].version == 0
    bench.report()


def test_what_is_gone_must_be_ids():
    reader = reading.Reader()
    for wrong in (None, 3, "i-00000001", [3], [["i-00000001"]]):
        reader.read(answer(machine("i-00000001")))
        bad = delta(1, 2)
        bad["nodes"]["open/h1"]["report"]["gone"] = wrong
        told = reader.read(bad)["nodes"]["open/h1"]
        assert told["report"] is None
        assert "gone" in told["trouble"]


def test_no_report_means_no_news():
    told = {"nodes": {"open/h1": {"version": 1, "report": None}}}
    assert reading.Reader().read(told)["nodes"]["open/h1"]["report"] is None


def test_nonsense_is_refused_by_the_name_of_its_field_and_is_that_nodes_trouble():
    bad = answer(machine("i-00000001"))
    del bad["nodes"]["open/h1"]["report"]["machines"][0]["generation"]
    told = reading.Reader().read(bad)["nodes"]["open/h1"]
    assert told["report"] is None
    assert "generation" in told["trouble"]


def test_a_zone_that_speaks_nonsense_is_asked_again(bench):
    bench.add_node()
    bench.answer("open", {"nodes": {"open/h1": {"report": {"machines": [{}]}}}})
    bench.report()  # which asserts that the zone was asked


def test_what_a_node_says_again_is_not_compared_again(bench, monkeypatch):
    bench.add_node()
    seen, original = [], lifecycle.observe
    monkeypatch.setattr(
        lifecycle, "observe", lambda row, m, *at: (seen.append(m.seen), original(row, m, *at))[1]
    )
    id = (
        bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001"))
        .instances[0]
        .instance.id
    )
    bench.report(machines=[machine(id)])
    bench.report(machines=[machine(id)])
    assert seen == [Seen.RUNNING]
    bench.report(machines=[machine(id, Seen.STOPPED)])
    assert seen == [Seen.RUNNING, Seen.STOPPED]
    bench.report()
    bench.report(machines=[machine(id)])
    assert seen == [Seen.RUNNING, Seen.STOPPED, Seen.RUNNING], "forgotten in between, so it is news"
