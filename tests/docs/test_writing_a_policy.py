"""The page about writing a policy, followed literally in an environment of its own: the project installed from its wheel,
the package made, tested, built, installed beside it, simulated, switched on in a running cloud, and off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

docs: Any = sys.modules["docs_pages"]
PAGE = "docs/writing-a-policy.md"

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

# pip neither asks an index nor makes an environment to build in: all that is needed is borrowed
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(text: str, environment: dict[str, str], directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def columns(table: str) -> list[list[str]]:
    """Without the last one, the time that it took on somebody's machine."""
    return [re.split(r" {2,}", line.strip())[:-1] for line in table.strip().splitlines()]


def test_the_page_followed_word_by_word(installed: Any, cloud_process: Any, tmp_path: Path) -> None:
    there = installed(tmp_path).parent
    home, place = tmp_path / "reader", tmp_path / "project"
    home.mkdir()
    place.mkdir()
    (place / "examples").symlink_to(docs.root / "examples")
    kept = {name: os.environ[name] for name in ("LANG", "TERM", "TMPDIR") if name in os.environ}
    environment = kept | OFFLINE | {"HOME": str(home), "PATH": f"{there}:/usr/bin:/bin:/usr/sbin:/sbin"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "EUCA_HOME": str(home / "lab")}

    commands = [block.text for block in docs.blocks(PAGE) if block.info == "sh run"]
    policy, tests = (block.text for block in docs.blocks(PAGE) if block.info == "python")
    (program,) = (block.text for block in docs.blocks(PAGE) if block.info == "py")
    (settings,) = (block.text for block in docs.blocks(PAGE) if block.info == "toml")
    _, table, effect = (block.text for block in docs.blocks(PAGE) if block.info == "text")
    make, test, compare, up, switch, down = commands

    said = run(make, environment, place)
    assert said.split()[:3] == [
        str(home / "half" / file) for file in ("pyproject.toml", "euca_policy_half.py", "tests/test_half.py")
    ]
    assert "6 passed" in said
    (home / "half" / "euca_policy_half.py").write_text(policy)
    (home / "half" / "tests" / "test_half.py").write_text(tests)
    assert "6 passed" in run(test, environment, place)

    said = run(compare, environment, place)
    assert columns(said[said.index("synthetic:") :]) == columns(table)
    where = run(
        "python -c 'import euca_rpc, euca_policy_half as e; print(euca_rpc.__file__, e.__file__)'",
        environment,
        place,
    )
    assert all(Path(file).is_relative_to(tmp_path / "venv") for file in where.split()), where

    cloud = cloud_process.CloudProcess(home / "lab", zones=1, nodes=2, settings="", python=there / "python")
    cloud.home.chmod(0o700)
    listen = f'[listen]\nport = {cloud.port}\n[network]\naddress_pool = "{cloud.pool}"\n'
    (cloud.home / "euca.toml").write_text(settings + listen)
    (home / "room.py").write_text(program)
    try:
        said = run(up + switch, environment, place)
        said = said[said.index("8 machines") :]
        expected = [re.escape(part.strip()) for part in effect.split("…")]
        assert re.fullmatch(r"\n.*\n".join(expected), said.strip(), re.DOTALL), said
        assert re.search(r"half +yes +lab +ok .*feasible=[1-9]\d* calls, 0 failed", said), said
        assert "half" not in run("euca policies", environment, place), "it was switched off"
        run(down, environment, place)
    finally:
        cloud.stop()
