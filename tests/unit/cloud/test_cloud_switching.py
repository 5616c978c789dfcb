"""A policy is put in force while the cloud runs: found, tried, loaded, and let go of; one that fails changes nothing."""

from __future__ import annotations

import pytest

from euca_rpc.cloud import admin
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.switching import recall
from euca_rpc.errors import EucaError
from euca_rpc.policy import trial
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, LaunchClass
from euca_rpc.types import Size

HEAD = "import math, time\nfrom euca_rpc.hookspecs import policy\nfrom euca_rpc.policy.values import No\n@policy\n"
LAST = HEAD + "def score(target):\n    return ord(target.id[-1]) / 256\n"
CLOSED = HEAD + "def admit(launch):\n    return No('The cloud is closed.')\n"
BAD = {
    "raises": HEAD + "def score(target):\n    raise KeyError('rack')\n",
    "full": HEAD + "def score(target):\n    return 1 / target.claimed.cores\n",
    "empty": HEAD + "def score(target):\n    return 1 / (target.offer.cores - target.room.cores - 1)\n",
    "nan": HEAD + "def score(target):\n    return math.nan\n",
    "sleeps": HEAD + "def feasible(target):\n    time.sleep(10)\n",
    "admits": HEAD + "def admit(launch):\n    return True\n",
    "changes": HEAD + "def admit(launch, view):\n    view.parameters['x'] = 1\n",
    "import": "import no_such_module\n",
    "misspelt": HEAD + "def scroe(target):\n    return 1\n",
}


@pytest.fixture
def engine(bench):
    return Engine(load(["greedy"]), cloud_policy="greedy", clock=bench.clock, isolation=Inline())


@pytest.fixture
def ask(bench, engine):
    for host in ("h1", "h2"):
        bench.add_node("open", host, cores=4)
    context = admin.Context(bench.cloud, None, Seal.load(bench.path / "seal.key"), engine)
    return lambda verb, **args: admin.call(context, bench.caller, verb, args)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """As an installer does, into a running process."""
    monkeypatch.syspath_prepend(tmp_path)

    def one(name, code):
        info = tmp_path / f"switched_{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: switched-{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[euca.schedulers]\n{name} = switched_{name}\n")
        (tmp_path / f"switched_{name}.py").write_text(code)

    return one


def where(bench, engine):
    size = Size(1, 128, 1)
    launch = Launch("1", "u", "m1.small", size, "x86_64", 1, 1)
    placed = EnginePlacer(engine, bench.clock).place(
        launch, LaunchClass("m1.small", size, "x86_64"), bench.view, 1, 1
    )
    return placed.nodes[0], placed.policy


def names(ask):
    return [row["name"] for row in ask("policies")]


def test_one_that_was_installed_a_moment_ago_is_loaded_and_let_go_of_again(bench, engine, ask, install):
    assert where(bench, engine) == ("open/h1", "greedy")
    install("last", LAST)
    assert ask("policy_set", policy="last") == {"zone": None, "policy": "last"}
    assert where(bench, engine) == ("open/h2", "last")
    assert names(ask) == ["greedy", "last"]
    ask("policy_set", policy="last", zone="open")
    ask("policy_set", policy="greedy")
    assert names(ask) == ["greedy", "last"], "a zone goes by it"
    ask("policy_set", zone="open")
    assert names(ask) == ["greedy"]
    assert where(bench, engine) == ("open/h1", "greedy")


def test_what_is_in_force_is_loaded_again_at_the_start(bench, engine, ask, install):
    install("again", LAST)
    ask("policy_set", policy="again", zone="open")
    fresh = Engine(load(["greedy"]), cloud_policy="greedy", clock=bench.clock, isolation=Inline())
    recall(fresh, bench.view)
    assert where(bench, fresh) == ("open/h2", "again")


def test_one_that_is_gone_at_the_start_closes_its_zone_alone(
    bench, engine, ask, install, monkeypatch, caplog
):
    install("gone", LAST)
    ask("policy_set", policy="gone", zone="open")
    monkeypatch.undo()
    fresh = Engine(load(["greedy"]), cloud_policy="greedy", clock=bench.clock, isolation=Inline())
    recall(fresh, bench.view)
    assert "policy gone is in force, but no installed package offers it any more" in caplog.text
    with pytest.raises(EucaError, match="Policy gone cannot answer"):
        where(bench, fresh)


def test_that_it_refuses_is_no_failure(bench, engine, ask, install):
    install("closed", CLOSED)
    ask("policy_set", policy="closed")
    with pytest.raises(EucaError, match=r"The cloud is closed\."):
        where(bench, engine)


@pytest.mark.parametrize("bad", BAD)
def test_one_that_fails_its_trial_changes_nothing(bench, engine, ask, install, bad):
    name = f"bad_{bad}"
    install(name, BAD[bad])
    before = bench.view.number
    with pytest.raises(EucaError, match=f"Policy {name} was tried on the nodes there are and failed: ") as it:
        ask("policy_set", policy=name)
    assert it.value.symbol == "policy_failed"
    if bad not in ("import", "misspelt"):
        assert f"switched_{name}.py:" in it.value.sentence
    assert bench.view.number == before
    assert names(ask) == ["greedy"]
    assert where(bench, engine) == ("open/h1", "greedy")


def test_a_zone_that_is_not_there_leaves_nothing_loaded(bench, engine, ask, install):
    install("astray", LAST)
    with pytest.raises(EucaError, match="the zone 'opne' does not exist"):
        ask("policy_set", policy="astray", zone="opne")
    assert names(ask) == ["greedy"]


def test_a_trial_has_an_end(bench, engine):
    slow = type("Slow", (), {})()
    exec(HEAD + "def score(target):\n    time.sleep(0.05)\n    return 0.5\n", space := {})
    slow.score = space["score"]
    for n in range(20):
        bench.add_node("open", f"n{n}", cores=4)
    view = trial.PolicyView(0, bench.view.targets)
    cls = LaunchClass("m1.small", Size(1, 128, 1), "x86_64")
    said = trial.trial("slow", slow, [cls], view, bench.clock, longest=0.3)
    assert said.startswith("its trial did not return within 0.3 s")


def test_a_policy_is_traced(bench, engine, ask, caplog):
    caplog.set_level("INFO")
    assert ask("policy_trace", policy="greedy", on=True) == {"policy": "greedy", "traced": True}
    where(bench, engine)
    assert [row["traced"] for row in ask("policies")] == [True]
