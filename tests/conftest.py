"""How the suite is spread over the processes that run it side by side (`-n`, pytest-xdist), and what all folders share.

Real guests share one cloud and mostly wait, so they are one long piece, begun first; every other file is a piece of its
own, the whole clouds before the quick ones.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
FIRST = ("e2e/real", "conformance", "e2e", "web", "simulation", "docs", "composed", "crashpoints")


def piece(path: Path) -> str:
    inside = path.relative_to(ROOT).as_posix()
    return "e2e/real" if inside.startswith("e2e/real/") else inside


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist writes the groups into the names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(piece(item.path)))
    order = {name: place for place, name in enumerate(FIRST)}

    def place(item: pytest.Item) -> int:
        inside = item.path.relative_to(ROOT).as_posix()
        return min((order[name] for name in FIRST if inside.startswith(name + "/")), default=len(FIRST))

    items.sort(key=place)  # stable: within a place, as collected


def pytest_collection_finish(session: pytest.Session) -> None:
    """Whoever breaks the grouping is told: without it each test goes to any process, and stories are told in pieces."""
    if getattr(session.config.option, "loadgroup", False) and (
        lost := [item.nodeid for item in session.items if "@" not in item.nodeid]
    ):
        raise pytest.UsageError(
            f"{len(lost)} tests belong to no group, {lost[0]} for one: see pyproject.toml on pytest and xdist"
        )


@pytest.fixture(scope="session")
def installed() -> Callable[..., Path]:
    """``installed(root, *packages)``: the python of an environment under ``root`` with the wheels of the project and of the
    packages.  It borrows what they depend on from this one, so that no network is needed; the `.pth` files here, and with them
    this checkout, have no effect there."""

    def pip(*words: object) -> None:
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr

    def make(root: Path, *packages: Path) -> Path:
        offline, wheels = ("--no-index", "--no-deps"), root / "wheels"
        pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, ROOT.parent, *packages)
        venv.create(root / "venv", symlinks=True)
        python = root / "venv" / "bin" / "python"
        pip("--python", python, "install", *offline, *wheels.glob("*.whl"))
        (site,) = (root / "venv" / "lib").glob("python*/site-packages")
        (site / "borrowed.pth").write_text(sysconfig.get_path("platlib") + "\n")
        return python

    return make
