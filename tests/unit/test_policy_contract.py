"""The contract that policies are tested with: the built-ins pass it, and each way to break it is found and named."""

from __future__ import annotations

import importlib
import math
import time
from importlib.metadata import entry_points
from itertools import count
from typing import Any

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Drain, Evict, Warn
from euca_rpc.policy.isolation import BUDGET
from euca_rpc.policy.values import Launch, No, PolicyView, Target, Wait
from euca_rpc.testing import policies
from euca_rpc.testing.contract import PolicyContract
from euca_rpc.testing.policies import LittleCloud, node

little_cloud = policies.little_cloud

PROMISES = [name for name in vars(PolicyContract) if name.startswith("test_")]
FITS, TOTAL, PURE, FROZEN, EXPLAINS = PROMISES
BUILT_IN = sorted(
    p.value for p in entry_points(group="euca.schedulers") if p.value.startswith("euca_schedulers.")
)


def contract(plugin: Any) -> PolicyContract:
    return type("Contract", (PolicyContract,), {"policy": plugin})()


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("module", BUILT_IN)
def test_built_ins_keep_it(module: str, promise: str) -> None:
    getattr(contract(importlib.import_module(module)), promise)()


def plugin(hook: str, function: Any) -> Any:
    return type("Plugin", (), {hook: staticmethod(policy(function))})()


numbers = count()


def counts(target: Target) -> float:
    return next(numbers) % 7 / 7


def raises(target: Target) -> float:
    return 1 / target.machines


def hangs(target: Target) -> float:
    time.sleep(BUDGET * 1.5)
    return 0.5


def changes_hints(launch: Launch, view: PolicyView) -> None:
    launch.hints["seen"] = "yes"  # type: ignore[index]


def changes_node(target: Target) -> float:
    target.machines += 1  # type: ignore[misc]
    return 0.5


BREAKS = {
    "no hook": (FITS, object(), "it has no hook: mark its functions"),
    "unknown hook": (FITS, plugin("scroe", lambda target: 0.5), "does not fit the hook specification"),
    "raises": (TOTAL, plugin("score", raises), r"score raised ZeroDivisionError: .* \(unit/test_policy_contract.py:\d+\)"),
    "NaN": (TOTAL, plugin("score", lambda target: math.nan), "score returned nan, not a number from 0 to 1"),
    "too much": (TOTAL, plugin("score", lambda target: 1.0 + target.machines), "score returned"),
    "nonsense": (TOTAL, plugin("feasible", lambda target: False), "feasible returned False, not None or No"),
    "entries": (TOTAL, plugin("account", lambda event: [event.at]), "account returned"),
    "facts": (TOTAL, plugin("account", lambda event: event.facts["node"]), "account raised KeyError"),
    "no action": (TOTAL, plugin("tend", lambda view: ["sleep"]), "there is no action str; there are Warn"),
    "no such node": (TOTAL, plugin("tend", lambda view: [Drain("x/y", "Why not.")]), "there is no node 'x/y'"),
    "no notice": (TOTAL, plugin("tend", lambda view: [Evict(i, "Out.", -1) for i in view.instances]), "its notice is -1"),
    "no such target": (TOTAL, plugin("arrange", lambda batch: {0: "x/y"}), "machine 0 goes to 'x/y', which is no target"),
    "beyond the room": (
        TOTAL,
        plugin("arrange", lambda batch, targets: {n: min(targets) for n, _ in enumerate(batch)}),
        "machine . does not fit on east/host-1: room",
    ),
    "hangs": (TOTAL, plugin("score", hangs), "score did not return within 1 s"),
    "changes a node": (TOTAL, plugin("score", changes_node), "score raised FrozenInstanceError"),
    "counts": (PURE, plugin("score", counts), r"score said 0\.\d+, and then 0\.\d+, of"),
    "looks at the object": (PURE, plugin("score", lambda target: id(target) % 997 / 997), "and then"),
    "changes hints": (FROZEN, plugin("admit", changes_hints), "admit changed what it was given"),
    "no sentence": (EXPLAINS, plugin("feasible", lambda target: No("full")), "'full' is no sentence"),
    "no reason": (EXPLAINS, plugin("feasible", lambda target: No("")), "'' is no sentence"),
    "no word": (EXPLAINS, plugin("tend", lambda view: [Warn(i, "heat") for i in view.instances]), "'heat' of Warn is no"),
    "no kind": (EXPLAINS, plugin("feasible", lambda target: No("It is full.", "")), "has no kind"),
    "waits for the past": (
        EXPLAINS,
        plugin("admit", lambda launch, view: Wait("Later, perhaps.", view.now)),
        "is over already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
def test_each_way_to_break_it_is_found_and_named(broken: str) -> None:
    promise, own, said = BREAKS[broken]
    with pytest.raises(AssertionError, match=said):
        getattr(contract(own), promise)()


# ------------------------------------------------------------------------------------------- the little cloud
class Fullest:
    @policy
    def feasible(self, target: Target) -> No | None:
        return No("It is left alone.", "quiet") if target.id == "z/quiet" else None

    @policy
    def score(self, target: Target) -> float:
        return target.machines / (1 + target.machines)


def test_the_little_cloud_asks_what_is_to_be_done(little_cloud: type[LittleCloud]) -> None:
    class Tired:
        @policy
        def tend(self, view: PolicyView) -> list[Any]:
            if view.published.get("odd"):
                return [Drain("z/none", "It is not there.")]
            return [Drain(t.id, "It is full.") for t in view.targets.values() if not t.room.cores]

    cloud = little_cloud(Tired(), node("z/a", used=4), node("z/b"))
    assert cloud.tend() == [Drain("z/a", "It is full.")]
    with pytest.raises(AssertionError, match="there is no node 'z/none'"):
        cloud.tend(published={"odd": True})


def test_the_little_cloud_keeps_its_machines(little_cloud: type[LittleCloud]) -> None:
    cloud = little_cloud(Fullest(), node("z/a"), node("z/b", used=2), node("z/quiet", 8))
    assert cloud.launch() == ("z/b",)
    assert cloud.launch(2) == ("z/b", "z/a")
    with pytest.raises(EucaError, match="there is room for 3") as refused:
        cloud.launch(4)
    assert refused.value.facts["kinds"] == {"quiet": 1, "room": 1}
    assert cloud.launch(4, at_least=1) == ("z/a", "z/a", "z/a")
    cloud.end("z/b")
    assert cloud.launch() == ("z/b",)


def test_a_hook_that_fails_fails_the_test(little_cloud: type[LittleCloud]) -> None:
    cloud = little_cloud(plugin("score", raises), node("z/a"))
    with pytest.raises(AssertionError, match=r"score raised ZeroDivisionError.*test_policy_contract.py"):
        cloud.launch()
