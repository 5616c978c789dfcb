"""Tags, launch permissions, registration from uploads, attributes of instances."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import accounts, lifecycle
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.images import add_upload
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport
from euca_rpc.types import LaunchRequest, Size

RECEIPT = {
    "sha256": "b" * 64,
    "bytes": 5,
    "virtual_bytes": 5,
    "format": "raw",
    "kind": "machine",
    "architecture": "x86_64",
}


@pytest.fixture
def bob(bench):
    user = bench.cloud.journal.do(accounts.add_user(bench.caller, bench.cloud.ids, "bob"))
    return accounts.caller_for(user)


def one(bench, caller=None, **kw):
    api = bench.cloud.core.instances
    return api.launch(caller or bench.caller, LaunchRequest("emi-00000001", **kw)).reservation.instance_ids[0]


def shown(bench, caller, instance_id):
    ((_, (status,)),) = bench.cloud.core.instances.describe(caller, [instance_id])
    return status


# ---------------------------------------------------------------------------------------------------- tags
def test_tags_are_shown_raise_the_version_and_survive_a_restart(bench, bob, reopen):
    bench.add_node()
    i = one(bench, bob, tags=(("Name", "first"),))
    assert shown(bench, bob, i).tags == (("Name", "first"),)
    before = bench.view.instances[i].version
    bench.cloud.core.tags.create(bob, [i, "emi-00000001"] if bob.is_admin else [i], {"b": "2", "a": ""})
    assert bench.view.instances[i].version > before
    assert shown(bench, bob, i).tags == (("Name", "first"), ("a", ""), ("b", "2"))
    assert open_view(bench.cloud.store, bench.clock.now()).tags == bench.view.tags
    bench.cloud.core.tags.delete(bob, [i], {"a": "other value", "b": None})
    assert shown(bench, bob, i).tags == (("Name", "first"), ("a", ""))
    bench.cloud.core.tags.delete(bob, [i], {})
    assert shown(bench, bob, i).tags == ()


def test_others_resources_cannot_be_tagged_and_one_bad_id_tags_none(bench, bob):
    bench.add_node()
    mine, his = one(bench), one(bench, bob)
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.tags.create(bob, [his, mine], {"k": "v"})
    assert refused.value.symbol == "instance_not_found"
    assert bench.cloud.core.tags.of(his) == ()
    assert bench.cloud.core.tags.describe(bob) == []


@pytest.mark.parametrize(
    "tags",
    [
        {"": "v"},
        {"k" * 128: "v"},
        {"k": "v" * 256},
        {"aws:x": "v"},
        {"AWS:x": ""},
        {"a\nb": "v"},
        {str(n): "" for n in range(51)},
    ],
)
def test_bad_tags_are_refused_at_launch_and_after(bench, tags):
    bench.add_node()
    i = one(bench)
    with pytest.raises(EucaError):
        bench.cloud.core.tags.create(bench.caller, [i], tags)
    with pytest.raises(EucaError):
        one(bench, tags=tuple(tags.items()))
    assert len(bench.view.instances) == 1


def test_fifty_is_the_limit_over_all_requests(bench):
    bench.add_node()
    i = one(bench)
    bench.cloud.core.tags.create(bench.caller, [i], {str(n): "" for n in range(50)})
    bench.cloud.core.tags.create(bench.caller, [i], {"0": "changed"})
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.tags.create(bench.caller, [i], {"one more": ""})
    assert refused.value.symbol == "tag_limit"


# ------------------------------------------------------------------------------------------ launch permissions
def test_permissions_by_account_number_and_all(bench, bob):
    bench.add_node()
    images = bench.cloud.core.images
    images.permit(bench.caller, "emi-00000001", remove=["all"])
    assert images.describe(bob) == []
    with pytest.raises(EucaError) as refused:
        one(bench, bob)
    assert refused.value.symbol == "image_not_found"
    images.permit(bench.caller, "emi-00000001", add=[bob.account_id])
    assert [i.id for i in images.describe(bob)] == ["emi-00000001"]
    assert one(bench, bob)
    images.permit(bench.caller, "emi-00000001", reset=True)
    assert images.describe(bob) == []
    assert images.permit(bench.caller, "emi-00000001", add=["all"]).public
    with pytest.raises(EucaError) as refused:
        images.permit(bob, "emi-00000001", remove=["all"])
    assert refused.value.symbol == "denied"
    for nonsense in ("everybody", "12345", "1" * 13):
        with pytest.raises(EucaError):
            images.permit(bench.caller, "emi-00000001", add=[nonsense])


def test_register_takes_uploads_only(bench, bob):
    bench.cloud.journal.do(add_upload(bob, "bob/disk-1", RECEIPT))
    images = bench.cloud.core.images
    for location in (
        "/etc/passwd",
        "http://127.0.0.1/x",
        "file:///etc/passwd",
        "../bob/disk-1",
        "bob/disk-2",
    ):
        with pytest.raises(EucaError) as refused:
            images.register(bob, location, "n")
        assert refused.value.symbol == "image_not_found"
    made = images.register(bob, "bob/disk-1", "n")
    assert (made.account_id, made.sha256, made.public) == (bob.account_id, "b" * 64, False)
    with pytest.raises(EucaError):
        images.register(bob, "bob/disk-1", "n", architecture="aarch64")
    images.deregister(bob, made.id)
    assert made.id not in [i.id for i in images.describe(bench.caller)]
    for bad in ("../x", "/abs", "a b", "", "x" * 300):
        with pytest.raises(EucaError):
            bench.cloud.journal.do(add_upload(bob, bad, RECEIPT))


def test_only_administrators_register_kernels(bench, bob):
    bench.cloud.journal.do(add_upload(bob, "k", {**RECEIPT, "kind": "kernel"}))
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.images.register(bob, "k", "kernel")
    assert refused.value.symbol == "denied"
    assert bench.cloud.core.images.register(bench.caller, "k", "kernel").id.startswith("eki-")


# -------------------------------------------------------------------------------------------------- attributes
def test_protection_holds_until_it_is_taken_back(bench):
    bench.add_node()
    i = one(bench)
    api = bench.cloud.core.instances
    api.modify(bench.caller, i, "protected", True)
    with pytest.raises(EucaError) as refused:
        api.terminate(bench.caller, [i])
    assert refused.value.symbol == "protected"
    api.modify(bench.caller, i, "protected", False)
    assert api.terminate(bench.caller, [i])[0].current == "terminated"


def test_protection_that_a_launch_asks_for_is_there_from_the_launch_itself(bench):
    bench.add_node()
    i = one(bench, protected=True, client_token="once")
    row = bench.view.instances[i]
    assert row.protected
    told = bench.cloud.store.events(i)
    assert [e.kind for e in told] == ["instance.launched"]  # one transaction: no moment without
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.instances.terminate(bench.caller, [i])
    assert refused.value.symbol == "protected"
    with pytest.raises(EucaError) as refused:
        one(bench, protected=False, client_token="once")
    assert refused.value.symbol == "token_mismatch"
    assert one(bench, protected=True, client_token="once") == i


def test_some_attributes_need_a_stopped_machine(bench):
    bench.add_node()
    i = one(bench)
    api = bench.cloud.core.instances
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running")])
    for attribute, value in (("vm_type", "m1.large"), ("user_data", b"new")):
        with pytest.raises(EucaError) as refused:
            api.modify(bench.caller, i, attribute, value)
        assert refused.value.symbol == "state_conflict"
    api.modify(bench.caller, i, "shutdown_behavior", "stop")
    api.stop(bench.caller, [i])
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "stopped", end="asked")])
    api.modify(bench.caller, i, "vm_type", "m1.large")
    api.modify(bench.caller, i, "user_data", b"new")
    api.start(bench.caller, [i])
    assert bench.view.targets["open/h1"].claimed == Size(2, 512, 10)
    bench.cloud.step()
    ((_, _, args, _),) = bench.carrier.take("ensure")[-1:]
    assert (args["specs"][0]["cores"], args["specs"][0]["user_data"]) == (2, b"new")
    assert lifecycle.state(bench.view.instances[i]) == "pending"


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("shutdown_behavior", "explode"), ("colour", "red"), ("protected", "yes"), ("vm_type", "huge")],
)
def test_nonsense_attributes_are_refused(bench, attribute, value):
    bench.add_node()
    i = one(bench)
    bench.cloud.journal.do(
        lambda view, now: Outcome((Put(lifecycle.want_stopped(view.instances[i], now, "", "")),))
    )
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.instances.modify(bench.caller, i, attribute, value)
    assert refused.value.symbol in ("parameter_invalid", "type_not_found")
