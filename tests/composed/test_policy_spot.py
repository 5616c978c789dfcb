"""The spot market of the examples, as a stranger would have it: from its wheel, beside the project's, in an environment of
its own.  Its tests pass there, and what its README says of the simulation is what comes out.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(300)]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "policy-spot"
TRACE = CHECKOUT / "examples" / "traces" / "spot.csv"


def run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def python(installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("installed"), EXAMPLE)


def test_it_uses_nothing_but_what_policies_may() -> None:
    used = set(re.findall(r"^from (euca\S*) import ", (EXAMPLE / "euca_spot.py").read_text(), re.MULTILINE))
    assert used == {
        "euca_rpc.clock",
        "euca_rpc.hookspecs",
        "euca_rpc.policy.actions",
        "euca_rpc.policy.values",
        "euca_rpc.types",
    }


def test_its_own_tests_pass_where_it_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_spot.py").write_text((EXAMPLE / "tests" / "test_spot.py").read_text())
    (tmp_path / "pyproject.toml").write_text((EXAMPLE / "pyproject.toml").read_text())
    where = run(
        python, "-c", "import euca_spot, euca_rpc; print(euca_spot.__file__, euca_rpc.__file__)", cwd=tmp_path
    )
    assert str(CHECKOUT) not in where, "it is the installed one"
    assert " passed" in run(python, "-m", "pytest", "-q", cwd=tmp_path)


def test_the_figures_of_its_readme_come_out_again(python: Path, tmp_path: Path) -> None:
    document, decisions = tmp_path / "out.json", tmp_path / "decisions.csv"
    command = "simulate {} --nodes 3 --cores 16 --policy pack --policy spot"
    readme = (EXAMPLE / "README.md").read_text()
    assert "euca " + command.format("examples/traces/spot.csv") in readme
    words = command.format(TRACE).split()
    run(python, "-m", "euca_rpc.cli.main", *words, "--json", document, "--events", decisions, cwd=tmp_path)
    with decisions.open(newline="") as file:
        refused = Counter((row["policy"], row["key"][0]) for row in csv.DictReader(file) if row["symbol"])
    for made in json.loads(document.read_text())["runs"]:
        policy, figures = made["policy"], made["figures"]
        notice = figures["notice_min"]
        cells = [
            str(refused[policy, "r"]),
            str(refused[policy, "b"]),
            f"{figures['wait_mean']:,.1f} s",
            str(figures["evictions"]),
            f"{100 * figures['utilisation']:.1f} %",
            "–" if notice is None else f"{notice:g} s",
        ]
        assert f"| {policy} | {' | '.join(cells)} |" in readme
