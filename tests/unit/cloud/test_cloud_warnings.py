"""What a node warns of reaches the administrator and the history, and ends with the warning."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import admin
from euca_rpc.cloud.seal import Seal
from euca_rpc.machines import NodeReport
from euca_rpc.wire.codec import pack

FULL = "The disk under /var/lib/euca has only 12 MiB left; guests' writes will fail when it is full."


@pytest.fixture
def ask(bench):
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"))
    return lambda verb, **args: admin.call(context, bench.caller, verb, args)


def tell(bench, warnings, version, same=False):
    node = bench.view.nodes["open/h1"]
    report = NodeReport(
        node.id, "boot-1", "simulated", "x86_64", node.offer, version, (), warnings=tuple(warnings)
    )
    now = bench.clock.now()
    entry = {"heard_at": now, "silent_since": None, "trouble": "", "version": version}
    entry["report"] = None if same else pack(report)
    told = {"zone": "open", "start_id": "s", "roster": True, "nodes": {node.id: entry}}
    bench.answer("open", told)


def test_a_nodes_warning_is_shown_as_long_as_it_holds(bench, ask):
    bench.add_node()
    tell(bench, [FULL], 2)
    tell(bench, [], 2, same=True)  # the report was left out because it says the same
    assert ask("nodes")[0]["warnings"] == [FULL]
    assert ask("status")["nodes"]["warnings"] == {"open/h1": [FULL]}
    tell(bench, [], 3)
    assert ask("nodes")[0]["warnings"] == []
    assert ask("status")["nodes"]["warnings"] == {}
    kinds = [e["kind"] for e in ask("events", subject="open/h1")]
    assert [kind for kind in kinds if "warned" in kind] == ["node.unwarned", "node.warned"]
