"""Images that are disabled, that come through a page, and that go with their bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from euca_rpc.cloud import accounts, admin
from euca_rpc.cloud.admin import Context
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.images import tickets
from euca_rpc.types import LaunchRequest, NewImage

KEY = b"k" * 32
IMAGE = "emi-00000001"
WANTED = NewImage("debian", "machine", "qcow2", "x86_64", public=True)
FACTS = {
    "sha256": "c" * 64,
    "bytes": 3,
    "virtual_bytes": 512,
    "format": "qcow2",
    "kind": "machine",
    "architecture": "x86_64",
}


class Depot:
    """An image server that signs for whatever comes, and remembers."""

    def __init__(self, clock):
        self.clock, self.taken, self.forgotten = clock, [], []

    def take(self, ticket, declared, size, chunks):
        self.taken.append((tickets.check(KEY, ticket, tickets.UPLOAD, self.clock.wall()), b"".join(chunks)))
        return tickets.issue(KEY, tickets.RECEIPT, FACTS, self.clock.wall() + 1)

    def forget(self, sha256, ticket):
        self.forgotten.append((sha256, tickets.check(KEY, ticket, tickets.FORGET, self.clock.wall())))


@pytest.fixture
def images(bench):
    bench.cloud.images._depot = Depot(bench.clock)
    return bench.cloud.images


@pytest.fixture
def bob(bench):
    return accounts.caller_for(bench.cloud.journal.do(accounts.add_user(bench.caller, SeededIds("b"), "bob")))


def refused(verb, *args):
    with pytest.raises(EucaError) as found:
        verb(*args)
    return found.value


# ---------------------------------------------------------------------------------------------------- disabled
def test_a_disabled_image_is_launched_by_nobody_and_seen_by_its_owner_and_administrators(bench, images, bob):
    bench.add_node()
    images.permit(bench.caller, IMAGE, add=["all"])
    made = images.enable(bench.caller, IMAGE, False)
    assert (made.state, made.reason_code) == ("disabled", "Client.UserInitiatedDisable")
    assert made.reason.startswith("disabled by admin on ")
    assert [it.state for it in images.describe(bench.caller) if it.id == IMAGE] == ["disabled"]
    assert IMAGE not in [it.id for it in images.describe(bob)]
    assert refused(images.describe, bob, [IMAGE]).symbol == "image_not_found"
    for who in (bench.caller, bob):  # who might launch it before is told why not now
        error = refused(bench.cloud.core.instances.launch, who, LaunchRequest(IMAGE))
        assert error.symbol == "image_unavailable"
        assert "enables it again" in error.sentence
    images.enable(bench.caller, IMAGE)
    assert images.describe(bob, [IMAGE])[0].reason == ""
    assert bench.cloud.core.instances.launch(bob, LaunchRequest(IMAGE))


def test_whoever_might_not_launch_it_learns_nothing_of_a_disabled_image(bench, images, bob):
    images.permit(bench.caller, IMAGE, reset=True)
    images.enable(bench.caller, IMAGE, False)
    assert refused(bench.cloud.core.instances.launch, bob, LaunchRequest(IMAGE)).symbol == "image_not_found"


def test_only_its_owner_and_administrators_switch_an_image(bench, images, bob):
    images.permit(bench.caller, IMAGE, add=["all"])
    assert refused(images.enable, bob, IMAGE, False).symbol == "denied"
    own = replace(bench.view.images[IMAGE], id="emi-000000b0", account_id=bob.account_id, public=False)
    bench.cloud.journal.do(lambda view, now: Outcome((Put(own),)))
    assert images.enable(bob, own.id, False).state == "disabled"
    assert images.enable(bench.caller, own.id).state == "available"


def test_each_switch_is_an_event_and_no_switch_is_none(bench, images):
    for enabled in (True, False, False, True, True):
        images.enable(bench.caller, IMAGE, enabled)
    kinds = [event.kind for event in bench.cloud.store.events(IMAGE)]
    assert kinds[:2] == ["image.enabled", "image.disabled"]
    assert kinds.count("image.enabled") == kinds.count("image.disabled") == 1


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_what_is_not_there_is_not_switched(bench, images, state):
    row = replace(bench.view.images[IMAGE], state=state, reason="not yet")
    bench.cloud.journal.do(lambda view, now: Outcome((Put(row),)))
    for enabled in (True, False):
        assert refused(images.enable, bench.caller, IMAGE, enabled).symbol == "state_conflict"


def test_a_machine_of_a_disabled_kernel_is_not_launched_either(bench, images, bob):
    bench.add_node()
    kernel = replace(bench.view.images[IMAGE], id="eki-00000007", kind="kernel", state="disabled")
    row = replace(bench.view.images[IMAGE], kernel_id=kernel.id)
    bench.cloud.journal.do(lambda view, now: Outcome((Put(kernel), Put(row))))
    error = refused(bench.cloud.core.instances.launch, bob, LaunchRequest(IMAGE))
    assert error.symbol == "image_unavailable"
    assert kernel.id in error.sentence


# ---------------------------------------------------------------------------------------------------- uploads
def test_what_comes_through_a_page_is_what_the_image_server_says_it_is(bench, images):
    image = images.upload(bench.caller, replace(WANTED, format="raw"), 3, iter([b"a", b"bc"]))
    assert (image.name, image.sha256, image.format, image.public) == ("debian", "c" * 64, "qcow2", True)
    ((facts, came),) = images._depot.taken
    assert came == b"abc"
    told = {"user": "admin", "bytes": 3, "format": "raw", "kind": "machine", "architecture": "x86_64"}
    assert facts == told, "the ticket is for this upload alone"
    assert bench.cloud.store.events(image.id)[0].kind == "image.added"


def test_what_is_refused_is_refused_before_its_bytes_come(bench, images, bob):
    def never():
        raise AssertionError("nobody may ask for the bytes")
        yield b""

    for who, wanted, symbol in (
        (bob, WANTED, "denied"),
        (bench.caller, replace(WANTED, name=""), "parameter_invalid"),
        (bench.caller, replace(WANTED, kernel_id="eki-99999999"), "image_not_found"),
        (bench.caller, replace(WANTED, kernel_id=IMAGE), "parameter_invalid"),
    ):
        assert refused(images.upload, who, wanted, 3, never()).symbol == symbol
    assert images._depot.taken == []


def test_a_receipt_that_is_not_the_image_servers_registers_nothing(bench, images):
    images._depot.take = lambda *_: tickets.issue(b"x" * 32, tickets.RECEIPT, FACTS, bench.clock.wall() + 1)
    before = len(images.describe(bench.caller))
    assert refused(images.upload, bench.caller, WANTED, 3, [b"abc"]).symbol == "denied"
    assert len(images.describe(bench.caller)) == before


# -------------------------------------------------------------------------------------------------- forgotten
def test_the_bytes_go_with_the_last_image_that_needs_them(bench, images):
    one = images.upload(bench.caller, WANTED, 3, [b"abc"])
    other = images.upload(bench.caller, WANTED, 3, [b"abc"])
    images.deregister(bench.caller, one.id)
    assert images._depot.forgotten == []
    images.deregister(bench.caller, other.id)
    assert images._depot.forgotten == [("c" * 64, {"sha256": "c" * 64})]


# -------------------------------------------------------------------------------------- the administrator's verbs
def test_the_command_line_switches_images_and_deletes_users(bench, bob):
    context = Context(bench.cloud, None, None)
    ask = lambda verb, **args: admin.call(context, bench.caller, verb, args)
    assert ask("image_enable", id=IMAGE.upper(), enabled=False) == {"id": IMAGE, "state": "disabled"}
    assert ask("image_enable", id=IMAGE) == {"id": IMAGE, "state": "available"}
    with pytest.raises(EucaError, match="terminate or keep"):
        ask("user_delete", name="bob", instances="burn")
    told = ask("user_delete", name="bob", instances="keep")
    assert told == {"name": "bob", "status": "deleted", "instances": "keep"}
    assert refused(lambda: ask("user_delete", name="bob", instances="keep")).symbol == "user_not_found"
