"""A policy for the cloud, another for a zone, changed live: placement by the real engine follows."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import admin, placement
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.seal import Seal
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, LaunchClass
from euca_rpc.types import LaunchRequest, Size


@pytest.fixture
def engine(bench):
    plugins = load(["greedy", "least_full", "round_robin"])
    return Engine(plugins, cloud_policy="greedy", clock=bench.clock, isolation=Inline())


@pytest.fixture
def ask(bench, engine):
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"), engine)
    return lambda verb, **args: admin.call(context, bench.caller, verb, args)


@pytest.fixture
def where(bench, engine):
    """Host h1 is half full, h2 empty, in both zones: greedy takes h1, least_full h2."""
    for zone in ("open", "other"):
        for host in ("h1", "h2"):
            bench.add_node(zone, host, cores=4)
    placer = placement.EnginePlacer(engine, bench.clock)

    def place(zone):
        size = Size(1, 128, 1)
        cls = LaunchClass("m1.small", size, "x86_64", zone)
        launch = Launch("1", "u", "m1.small", size, "x86_64", 1, 1, zone)
        return placer.place(launch, cls, bench.view, 1, 1)

    return place


def fill(bench):
    """Something on h1 of each zone."""
    for zone in ("open", "other"):
        bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001", zone=zone))


def test_a_zones_policy_and_the_clouds_change_where_machines_go(bench, ask, where):
    fill(bench)
    assert where("open").nodes == ("open/h1",)
    assert ask("policy_set", policy="least_full", zone="open") == {"zone": "open", "policy": "least_full"}
    assert (where("open").nodes, where("open").policy) == (("open/h2",), "least_full")
    assert (where("other").nodes, where("other").policy) == (("other/h1",), "greedy")
    assert ask("policy_set", policy="least_full") == {"zone": None, "policy": "least_full"}
    assert where("other").nodes == ("other/h2",)
    ask("policy_set", policy="greedy", zone="open")
    assert where("open").nodes == ("open/h1",), "a zone's own stands above the cloud's"
    assert ask("policy_set", zone="open") == {"zone": "open", "policy": "least_full"}
    assert where("open").nodes == ("open/h2",)
    assert ask("policy_set") == {"zone": None, "policy": "greedy"}
    assert where("open").nodes == ("open/h1",)


def test_it_survives_a_restart_and_is_in_the_history(bench, ask, where):
    ask("policy_set", policy="least_full", zone="open")
    ask("policy_set", policy="round_robin")
    again = open_view(bench.cloud.store, bench.clock.now())
    assert again.zones["open"].policy == "least_full"
    assert again.settings == bench.view.settings
    ask("policy_set")
    assert open_view(bench.cloud.store, bench.clock.now()).settings == bench.view.settings
    told = [(e["subject"], e["policy"]) for e in ask("events") if e["kind"] == "policy.chosen"]
    assert told == [("cloud", None), ("cloud", "round_robin"), ("open", "least_full")]


def test_the_list_tells_where_each_is_in_force(bench, ask, where):
    ask("policy_set", policy="least_full", zone="open")
    rows = {row["name"]: (row["cloud"], row["zones"], row["state"]) for row in ask("policies")}
    assert rows == {
        "greedy": (True, ["other"], "ok"),
        "least_full": (False, ["open"], "ok"),
        "round_robin": (False, [], "ok"),
    }


def test_what_is_not_loaded_or_not_there_is_refused_by_name(bench, ask, where):
    with pytest.raises(
        EucaError, match=r"'beautiful', which no installed package offers under .*; there are .*greedy, "
    ):
        ask("policy_set", policy="beautiful")
    with pytest.raises(EucaError, match="the zone 'opne' does not exist; there are open, other"):
        ask("policy_set", policy="greedy", zone="opne")
    with pytest.raises(EucaError, match="No policy 'beautiful' is loaded"):
        ask("policy_reset", policy="beautiful")
    assert not bench.view.zones["open"].policy


def test_a_tripped_policy_is_called_again_after_a_reset(bench, ask, where):
    class Bad:
        @policy
        def feasible(self):
            raise ValueError("no")

    engine = Engine({"bad": Bad()}, cloud_policy="bad", clock=bench.clock, isolation=Inline(), trip_after=1)
    placer = placement.EnginePlacer(engine, bench.clock)
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"), engine)
    cls = LaunchClass("m1.small", Size(1, 128, 1), "x86_64", "open")
    with pytest.raises(EucaError):
        placer.place(Launch("1", "u", "m1.small", cls.size, "x86_64", 1, 1), cls, bench.view, 1, 1)
    assert admin.call(context, bench.caller, "policies", {})[0]["state"] == "tripped"
    assert admin.call(context, bench.caller, "policy_reset", {"policy": "bad"})["state"] == "ok"


# ------------------------------------------------------------------------------------------------ parameters
@pytest.fixture
def told(bench):
    class Free:
        """Declares nothing: whatever it is told, it sees."""

    engine = Engine(
        {**load(["lease"]), "free": Free()}, cloud_policy="free", clock=bench.clock, isolation=Inline()
    )
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"), engine)
    return lambda verb, **args: admin.call(context, bench.caller, verb, args)


def test_parameters_are_set_listed_and_taken_back(bench, told):
    names = ["exempt", "extension_hours", "hours", "then", "warn_hours"]
    rows = told("policy_parameters")
    assert [(row["name"], row["set"]) for row in rows] == [(f"lease.{name}", False) for name in names]
    assert told("policy_parameter", name="lease.hours", value=8) == {
        "name": "lease.hours", "value": 8, "set": True
    }  # fmt: skip
    told("policy_parameter", name="free.anything", value={"a": [1]})
    assert dict(placement._parameters(bench.view.settings)) == {"lease.hours": 8, "free.anything": {"a": [1]}}
    assert [row["name"] for row in told("policy_parameters") if row["set"]] == [
        "free.anything",
        "lease.hours",
    ]
    assert told("policy_parameter", name="lease.hours") == {
        "name": "lease.hours",
        "value": 24.0,
        "set": False,
    }
    assert told("policy_parameter", name="free.anything") == {"name": "free.anything"}
    assert not placement._parameters(bench.view.settings)
    assert [(e["subject"], e["value"]) for e in told("events") if e["kind"] == "policy.parameter"][:2] == [
        ("free.anything", None),
        ("lease.hours", None),
    ]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("lease.horus", 8, "policy lease has no parameter 'horus'; it has exempt, extension_hours, hours"),
        ("laese.hours", 8, "no parameter of a loaded policy: .* loaded are free, lease"),
        ("hours", 8, "no parameter of a loaded policy"),
        ("free.", 8, "no parameter of a loaded policy"),
        ("lease.hours", "8", 'lease.hours is 24.0 unless it is set: "8" is another kind of value'),
        ("lease.hours", True, "another kind"),
        ("lease.hours", float("inf"), "another kind"),
        ("lease.exempt", "1", "another kind"),
        ("lease.exempt", [1], "another kind"),
        ("lease.then", 1, "another kind"),
    ],
)
def test_a_parameter_that_the_policy_does_not_have_is_refused(bench, told, name, value, why):
    with pytest.raises(EucaError, match=why):
        told("policy_parameter", name=name, value=value)
    assert not placement._parameters(bench.view.settings)
