"""What `euca explain` answers for each thing it can be asked about."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import admin, explain, nodes
from euca_rpc.cloud.changes import event
from euca_rpc.cloud.seal import Seal
from euca_rpc.errors import EucaError
from euca_rpc.types import LaunchRequest


def ask(bench, verb, **args):
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"))
    return admin.call(context, bench.caller, verb, args)


def test_a_reservation_is_explained_by_its_instances(bench):
    bench.add_node()
    made = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001", 2, 2)).reservation
    told = ask(bench, "explain", id=made.id.upper())
    assert told["subject"] == made.id
    assert sorted(one["subject"] for one in told["instances"]) == sorted(made.instance_ids)
    assert all(one["state"] == "pending" for one in told["instances"])


def test_a_refused_launch_is_told_once(bench):
    with pytest.raises(EucaError):
        bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001"))
    told = ask(bench, "explain", id="last")
    assert told["kind"] == "launch.refused"
    assert told["symbol"] == "capacity_exhausted"
    assert str(told).count(told["reason"]) == 1


def test_what_is_not_known_names_what_can_be_asked(bench):
    with pytest.raises(EucaError, match='"last" for the newest refusal'):
        ask(bench, "explain", id="r-00000000")


def test_a_user_joins_an_account_that_exists(bench):
    mine = ask(bench, "users")[0]["account"]
    assert ask(bench, "user_add", name="bob", account=mine) == {"name": "bob", "account": mine}
    with pytest.raises(EucaError) as refused:
        ask(bench, "user_add", name="eve", account="000000000001")
    assert refused.value.symbol == "account_not_found"
    assert "eve" not in {row["name"] for row in ask(bench, "users")}


def test_a_fenced_node_is_not_up_and_is_nothing_to_be_reminded_of(bench):
    bench.add_node()
    assert ask(bench, "nodes")[0]["up"]
    bench.cloud.journal.do(nodes.fence(bench.caller, "h1"))
    (row,) = ask(bench, "nodes")
    assert (row["state"], row["up"]) == ("fenced", False)
    assert row["trouble"].startswith("fenced by an administrator")
    assert ask(bench, "status")["nodes"]["silent"] == []


def test_facts_are_shown_by_name_in_every_process():
    """A mapping's own order differs from process to process."""
    facts = dict.fromkeys("zyxwvutsrqponmlkjihgfedcba", 1)
    shown = explain.line(event("instance.seen", "i-1", 0, "cloud", "", facts))
    assert list(shown)[-26:] == sorted(facts)
