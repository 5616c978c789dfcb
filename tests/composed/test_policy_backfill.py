"""Backfilling of the examples, as a stranger would have it: from its wheel, beside the project's, in an environment of its own.
Its tests pass there, and the table of its README is what comes out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(300)]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "policy-backfill"


def run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=280, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def python(installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("installed"), EXAMPLE)


def test_it_uses_nothing_but_what_policies_may() -> None:
    source = (EXAMPLE / "euca_backfill.py").read_text()
    assert set(re.findall(r"^from (euca\S*) import ", source, re.MULTILINE)) == {
        "euca_rpc.clock",
        "euca_rpc.hookspecs",
        "euca_rpc.policy.values",
        "euca_rpc.types",
    }


def test_its_own_tests_pass_where_it_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("tests/test_backfill.py", "pyproject.toml"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    program = "import euca_backfill, euca_rpc; print(euca_backfill.__file__, euca_rpc.__file__)"
    assert str(CHECKOUT) not in run(python, "-c", program, cwd=tmp_path), "it is the installed one"
    assert " passed" in run(python, "-m", "pytest", "-q", cwd=tmp_path)


def test_its_trace_is_drawn_as_it_says(python: Path, tmp_path: Path) -> None:
    assert run(python, EXAMPLE / "make_trace.py", cwd=tmp_path) == (EXAMPLE / "trace.csv").read_text()


def test_the_figures_of_its_readme_come_out_again(python: Path, tmp_path: Path) -> None:
    table = run(python, EXAMPLE / "figures.py", cwd=tmp_path).splitlines()
    assert len(table) == 4
    readme = (EXAMPLE / "README.md").read_text()
    for line in table:
        assert line in readme
    met = [line.split("|")[2].strip() for line in table[1:]]
    assert met == ["21 of 21"] * 3
