"""Images made from machines, as the cloud controller sees it: what is asked of the node, what of its word is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud import accounts, captures, nodes
from euca_rpc.cloud.changes import Insert, Outcome, Put, Soft
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.images import tickets
from euca_rpc.machines import CaptureReport, MachineReport, NodeReport
from euca_rpc.types import Capture, Contact, LaunchRequest, Node, Size, Zone
from euca_rpc.wire.codec import pack

KEY = b"k" * 32
NODE = "open/h1"


class Site:
    def __init__(self, bench) -> None:
        self.bench, self.core, self.caller = bench, bench.cloud.core, bench.caller
        self.clock = bench.clock
        bench.add_node()
        self.id = (
            self.core.instances.launch(self.caller, LaunchRequest("emi-00000001")).instances[0].instance.id
        )
        bench.cloud.step()
        self.tell()

    def tell(self, *said, seen="running", node=NODE) -> None:
        """One poll; the node answers with its machine and what it says of captures."""
        bench, now = self.bench, self.clock.now()
        row = bench.view.instances[self.id]
        machine = MachineReport(self.id, row.generation, 0, seen)
        size = bench.view.nodes[NODE].offer
        told = NodeReport(node, "boot-1", "simulated", "x86_64", size, 1, (machine,), captures=tuple(said))
        entry = {"heard_at": now, "silent_since": None, "trouble": "", "version": 1, "report": pack(told)}
        bench.answer("open", {"zone": "open", "start_id": "s", "roster": True, "nodes": {node: entry}})

    def image(self, name="mine", **more):
        self.last = self.core.images.create(self.caller, self.id, name, **more)
        return self.last

    @property
    def now(self):
        (found,) = self.core.images.describe(self.caller, [self.last.id])
        return found

    def orders(self):
        self.bench.cloud.step()
        taken = [call[2] for call in self.bench.carrier.take("capture")]
        assert all(args["node"] == NODE for args in taken)
        return [order for args in taken for order in args["orders"]]

    def forgotten(self):
        return [args["images"] for _, _, args, _ in self.bench.carrier.take("forget_captures")]

    def receipt(self, **changes) -> str:
        facts = {"sha256": "a" * 64, "bytes": 7, "virtual_bytes": 9, "format": "qcow2", "kind": "machine"}
        facts |= {"architecture": "x86_64", "image_id": self.last.id}
        return tickets.issue(KEY, tickets.RECEIPT, {**facts, **changes}, self.clock.wall() + HOUR)

    def done(self, receipt=None) -> CaptureReport:
        return CaptureReport(self.last.id, "done", receipt=self.receipt() if receipt is None else receipt)


@pytest.fixture
def site(bench):
    return Site(bench)


def test_an_image_is_pending_until_its_receipt_is_here(site):
    made = site.image(description="of mine")
    assert (made.state, made.sha256, made.public, made.description) == ("pending", "", False, "of mine")
    assert f"the disk of {site.id} is being copied on {NODE}" in made.reason
    with pytest.raises(EucaError, match="is pending") as caught:
        site.core.instances.launch(site.caller, LaunchRequest(made.id))
    assert caught.value.symbol == "image_unavailable"
    (order,) = site.orders()
    assert (order["image_id"], order["instance_id"]) == (made.id, site.id)
    facts = tickets.check(KEY, order["ticket"], tickets.STORE, site.clock.wall())
    assert facts == {
        "image_id": made.id,
        "node": f"node/{NODE}",
        "architecture": "x86_64",
        "most_bytes": order["most_bytes"],
    }
    assert 10 << 30 < order["most_bytes"] < 11 << 30
    site.tell(CaptureReport(made.id, "working"))
    assert site.orders() == []
    site.tell(site.done())
    assert (site.now.state, site.now.sha256, site.now.bytes, site.now.virtual_bytes) == (
        "available",
        "a" * 64,
        7,
        9,
    )
    assert (site.now.reason_code, site.now.reason, site.bench.view.captures.get(made.id)) == ("", "", None)
    assert site.forgotten() == [[made.id]]
    assert site.core.instances.launch(site.caller, LaunchRequest(made.id)).instances


def test_what_is_over_is_to_be_forgotten_until_the_node_does(site):
    site.image()
    for _ in range(3):
        site.tell(site.done())
        assert site.forgotten() == [[site.last.id]]
    site.tell()
    assert site.forgotten() == []
    site.tell(CaptureReport("emi-deadbeef", "working"))  # of nobody: left alone
    assert site.forgotten() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"image_id": "emi-00000001"}, "its image_id is 'emi-00000001'"),
        ({"kind": "kernel"}, "its kind is"),
        ({"architecture": "aarch64"}, "its architecture is"),
        (None, "none was shown"),
        ("v1.e30.x", "its seal is wrong"),
    ],
)
def test_of_what_a_node_says_only_the_receipt_is_believed(site, change, why):
    site.image()
    receipt = site.receipt(**change) if isinstance(change, dict) else change or ""
    site.tell(site.done(receipt))
    assert (site.now.state, site.now.sha256, site.now.reason_code) == ("failed", "", "Server.InternalError")
    assert "its receipt is not believed" in site.now.reason
    assert why in site.now.reason


def test_of_two_words_on_one_image_the_first_counts(site):
    site.image()
    site.tell(CaptureReport(site.last.id, "failed", "no"), site.done())
    assert (site.now.state, site.now.reason) == ("failed", "no")


def test_another_nodes_word_counts_nothing(site):
    site.image()
    site.bench.cloud.journal.do(nodes.add(site.caller, "open", "h2"))
    site.tell(site.done(), node="open/h2")
    assert site.now.state == "pending"


def test_another_zones_word_counts_nothing(site):
    """A cluster controller that is in somebody else's hands tells of a node that is not its own."""
    site.image()
    said = NodeReport(
        NODE, "b", "simulated", "x86_64", Size(), 1, captures=(CaptureReport(site.last.id, "failed"),)
    )
    told = {"nodes": {NODE: {"report": said}}}
    before = site.bench.view
    assert captures.take(before, "other", told, {}, 0).changes == ()
    assert captures.take(before, "open", told, {}, 0).changes != ()
    fenced = before.apply([Put(replace(before.nodes[NODE], admin_state="fenced"))])
    assert captures.take(fenced, "open", told, {}, 0).changes == ()


def test_a_failure_is_told(site):
    site.image()
    site.tell(CaptureReport(site.last.id, "failed", "there is no room: 7 MiB needed, 5 free"))
    assert (site.now.state, site.now.reason) == ("failed", "there is no room: 7 MiB needed, 5 free")
    with pytest.raises(EucaError, match="is failed: there is no room"):
        site.core.instances.launch(site.caller, LaunchRequest(site.last.id))
    assert site.image().state == "pending", "its name is free again"


def test_an_order_is_repeated_until_the_node_mentions_it_and_again_when_it_forgot(site):
    site.image()
    asked = []
    for _ in range(20):
        asked += [site.clock.now()] * len(site.orders())
        site.clock.advance(SECOND)
    assert len(asked) == 3
    assert asked[1] - asked[0] >= 5 * SECOND
    site.tell(CaptureReport(site.last.id, "working", "the image server does not answer"))
    site.clock.advance(MINUTE)
    assert site.orders() == []
    assert site.bench.view.captures[site.last.id].detail == "the image server does not answer"
    site.tell()
    assert len(site.orders()) == 1


@pytest.mark.parametrize("silent", [True, False])
def test_a_deadline_that_passes_is_a_failure_with_the_reason(site, silent):
    site.image()
    site.tell(CaptureReport(site.last.id, "working", "the disk is full"))
    until = site.clock.now() + captures.DEADLINE
    while site.clock.now() < until:
        site.clock.advance(4 * MINUTE)
        if silent:
            site.bench.answer("open", error=EucaError("unreachable", "no route"))
        else:
            site.tell(CaptureReport(site.last.id, "working", "the disk is full"))
    site.bench.cloud.step()
    assert site.now.state == "failed"
    if silent:
        assert site.now.reason_code == "Server.NodeUnreachable"
        assert "open/h1, whose cluster controller is silent since" in site.now.reason
    else:
        assert "answers but has not made it: the disk is full" in site.now.reason
        site.forgotten()
        site.tell(CaptureReport(site.last.id, "working"))
        assert site.forgotten() == [[site.last.id]]


def test_a_fenced_nodes_captures_fail_at_once(site):
    site.image()
    site.bench.cloud.journal.do(
        lambda view, now: Outcome((Put(replace(view.nodes[NODE], admin_state="fenced")),))
    )
    site.bench.cloud.step()
    assert site.now.state == "failed"
    assert "which was fenced by an administrator" in site.now.reason


def test_deregistering_a_pending_image_ends_it(site):
    made = site.image()
    site.tell(CaptureReport(made.id, "working"))
    site.core.images.deregister(site.caller, made.id)
    assert not site.bench.view.captures
    site.tell(site.done())
    assert site.forgotten() == [[made.id]]
    assert site.bench.view.images[made.id].removed_at is not None


def test_it_goes_on_after_a_restart_of_the_cloud_controller(site, reopen):
    made = site.image()
    site.bench = reopen(site.bench)
    assert site.bench.view.images[made.id] == made
    assert site.bench.view.captures[made.id].instance_id == site.id
    site.core, site.clock = site.bench.cloud.core, site.bench.clock
    site.tell(CaptureReport(made.id, "working"))
    site.tell(site.done())
    assert site.now.state == "available"


def test_what_is_refused(site):
    admin, journal = site.caller, site.bench.cloud.journal
    bob = accounts.caller_for(journal.do(accounts.add_user(admin, site.bench.cloud.ids, "bob")))
    refusals = [
        (admin, "i-00000000", "x", "", "instance_not_found"),
        (bob, site.id, "x", "", "instance_not_found"),
        (admin, site.id, "", "", "parameter_invalid"),
        (admin, site.id, "x" * 129, "", "parameter_invalid"),
        (admin, site.id, "x", "y" * 256, "parameter_invalid"),
    ]
    for caller, instance, name, description, symbol in refusals:
        with pytest.raises(EucaError) as caught:
            site.core.images.create(caller, instance, name, description)
        assert caught.value.symbol == symbol
    site.image("one")
    with pytest.raises(EucaError) as caught:
        site.image("one")
    assert caught.value.symbol == "name_duplicate"
    site.core.instances.terminate(admin, [site.id])
    with pytest.raises(
        EucaError, match="is shutting-down: an image can be made of it when it is running or stopped"
    ):
        site.image("two")


@given(at=st.integers(0, 2 * captures.DEADLINE), accepted=st.booleans(), up=st.booleans())
def test_the_decision_asks_waits_or_gives_up_and_always_knows_when_to_look_again(at, accepted, up):
    """Whatever the row says, there is an action now or a moment later; never neither."""
    row = Capture(
        "emi-0000000a", "i-0000000a", 1, NODE, 1, captures.DEADLINE, accepted=accepted, next_try=MINUTE
    )
    contact = Contact("open", heard_at=0), Contact(NODE, heard_at=0, silent_since=None if up else 0)
    view = View().apply(
        [Insert(Zone("open", 0)), Insert(Node(NODE, "open", "h1")), *map(Soft, contact), Insert(row)]
    )
    actions, due = captures.decide(view, at)
    if at >= captures.DEADLINE:
        assert actions == [captures.Late((row.id,))]
    elif up and not accepted and at >= MINUTE:
        assert actions == [captures.Order(NODE, (row.id,))]
    else:
        assert actions == []
    if not any(isinstance(a, captures.Late) for a in actions):
        assert due is not None
        assert at < due <= captures.DEADLINE
