"""The policy pages: one per hook, honest about what is called, and every example runs."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import ManualClock
from euca_rpc.hookspecs import PolicySpec, policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.values import PolicyView
from euca_rpc.types import Event

PAGES = Path(__file__).resolve().parents[2] / "docs" / "policies"
HOOKS = sorted(name for name in vars(PolicySpec) if not name.startswith("_"))


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


def world() -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    for code in examples("index.md"):
        exec(compile(code, "index.md", "exec"), namespace)
    return namespace


OF_POLICIES = sorted({path.stem for path in PAGES.glob("*.md")} - {*HOOKS, "index", "built-in"})


def test_there_is_a_page_for_every_hook_and_one_for_the_built_ins() -> None:
    assert {*HOOKS, "index", "built-in"} <= {path.stem for path in PAGES.glob("*.md")}
    told = (PAGES / "built-in.md").read_text()
    assert [page for page in OF_POLICIES if f"({page}.md)" not in told] == []


@pytest.mark.parametrize("page", OF_POLICIES)
def test_the_example_of_a_policys_own_page_runs(page: str) -> None:
    codes = examples(f"{page}.md")
    assert codes
    namespace = world()
    for code in codes:
        assert "assert" in code
        exec(compile(code, f"{page}.md", "exec"), namespace)


def test_every_built_in_is_described() -> None:
    described = re.findall(r"^## `(\w+)`", (PAGES / "built-in.md").read_text(), re.MULTILINE)
    offered = {
        p.name for p in entry_points(group="euca.schedulers") if p.value.startswith("euca_schedulers.")
    }
    assert set(described) == offered


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_runs(hook: str) -> None:
    codes = examples(f"{hook}.md")
    assert codes
    namespace = world()
    for code in codes:
        assert f"def {hook}(" in code
        assert "assert" in code
        exec(compile(code, f"{hook}.md", "exec"), namespace)


def test_the_pages_say_which_hooks_are_called() -> None:
    called: set[str] = set()

    class Everything:
        @policy
        def admit(self) -> None:
            called.add("admit")

        @policy
        def feasible(self) -> None:
            called.add("feasible")

        @policy
        def score(self) -> None:
            called.add("score")

        @policy
        def lease(self) -> None:
            called.add("lease")

        @policy
        def account(self) -> None:
            called.add("account")

        @policy
        def arrange(self) -> None:
            called.add("arrange")

        @policy
        def tend(self) -> None:
            called.add("tend")

    assert {name for name in vars(Everything) if not name.startswith("_")} == set(HOOKS)
    namespace = world()
    namespace["run"](Everything(), namespace["node"]("z1/a"), count=2)
    engine = Engine({"mine": Everything()}, cloud_policy="mine", clock=ManualClock(), isolation=Inline())
    engine.account("mine", [Event(0, "alice", "ec2", "", "instance.launched", "i-00000001")])
    engine.tend("mine", PolicyView(0, {}))
    index = (PAGES / "index.md").read_text()
    for hook in HOOKS:
        page = (PAGES / f"{hook}.md").read_text()
        assert ("*Called today.*" in page) == (hook in called), hook
        assert ("*Specified, not called yet.*" in page) == (hook not in called), hook
        row = next(line for line in index.splitlines() if line.startswith(f"| [{hook}]"))
        assert row.endswith("| yes |") == (hook in called), row


def test_the_figures_in_the_rules_are_the_ones_in_the_code() -> None:
    from euca_rpc.policy.health import LIMIT
    from euca_rpc.policy.isolation import BUDGET

    index = " ".join((PAGES / "index.md").read_text().split())
    assert f"a budget of {BUDGET:g} s" in index
    assert ({5: "five"}[LIMIT] + " failures within an hour") in index
