"""One policy of each bad kind in a cloud: it goes on, log and counters name the policy and its line, what the policy could
have refused is refused, and after repeated failures it is not called any more."""

from __future__ import annotations

import threading

import pytest

from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Watched
from euca_rpc.policy.loader import load
from euca_rpc.types import LaunchRequest

BUDGET = 0.2
over = threading.Event()  # lets those go that are left behind in their hook


def raises(*given):
    raise KeyError("rack")


def sleeps(*given):
    over.wait(10)


def loops(*given):
    while not over.is_set():
        pass


def not_a_number(*given):
    return float("nan")


def mutates(first, second):
    """The mapping that it was given, or the node itself."""
    if hasattr(second, "parameters"):
        second.parameters["bad.hours"] = 1
    else:
        second.machines = 99


WAYS = {  # the policy's behaviour → what is told of it
    raises: "raised KeyError: 'rack'",
    sleeps: "did not return within 0.2 s",
    loops: "did not return within 0.2 s",
    not_a_number: "returned nan, not",
    mutates: "raised ",
}


def plugin(hook, behave):
    @policy
    def admit(launch, view):
        return behave(launch, view)

    @policy
    def feasible(cls, target):
        return behave(cls, target)

    @policy
    def score(cls, target):
        return behave(cls, target)

    return type(
        "Bad", (), {hook: staticmethod({"admit": admit, "feasible": feasible, "score": score}[hook])}
    )()


@pytest.fixture(autouse=True)
def ended():
    over.clear()
    yield
    over.set()


@pytest.mark.parametrize("hook", ["admit", "feasible", "score"])
@pytest.mark.parametrize("behave", WAYS, ids=lambda way: way.__name__)
def test_the_cloud_goes_on(bench, hook, behave, caplog):
    for host in ("h1", "h2"):
        bench.add_node("open", host, cores=16, memory=16384)
    engine = Engine(
        {"bad": plugin(hook, behave), **load(["greedy"])},
        cloud_policy="bad",
        clock=bench.clock,
        isolation=Watched(BUDGET),
    )
    instances = bench.cloud.core.instances
    instances._placer = EnginePlacer(engine, bench.clock)

    def launch():
        return instances.launch(bench.caller, LaunchRequest("emi-00000001")).instances[0].instance.node

    for _ in range(6):
        if hook == "score":
            assert launch() == "open/h1", "as greedy"
        else:
            with pytest.raises(EucaError, match="olicy bad") as refused:
                launch()
            assert refused.value.symbol == "policy_failed"
    before = engine.status()[0]["hooks"]
    for _ in range(5):
        if hook == "score":
            launch()
        else:
            with pytest.raises(EucaError):
                launch()

    bad, greedy = engine.status()
    told = f"{hook} {WAYS[behave]}"
    assert (bad["state"], bad["failures"]) == ("tripped", 1 if behave in (sleeps, loops) else 5)
    assert bad["hooks"] == before, "it is not called any more"
    assert bad["hooks"][hook]["failures"] == bad["failures"]
    assert bad["last_failure"].startswith(told)
    assert "(cloud/test_cloud_bad_policies.py:" in bad["last_failure"]
    assert f"policy bad: {told}" in caplog.text
    assert "policy bad is tripped and not called any more" in caplog.text
    assert (greedy["state"], greedy["failures"]) == ("ok", 0)
    assert sum(t.machines for t in bench.view.targets.values()) == (11 if hook == "score" else 0)
    engine.close()
