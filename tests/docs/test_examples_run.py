"""Every block marked `sh run` or `python run` in the guides works as it stands, against a cloud of simulated machines.

Block after block in one shell, so that a variable set in one is there in the next.  Ports, addresses and the
hypervisor come from the settings file that the test puts into the home before the reader's first command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

docs: Any = sys.modules["docs_pages"]

pytestmark = pytest.mark.real

SETTINGS = """\
[listen]
port = {port}

[node]
hypervisor = "simulated"
cores = 2
memory_mb = 4096
disk_gb = 50

[network]
address_pool = "{pool}"
"""


@contextmanager
def reader(cloud_process: Any, directory: Path, nodes: int = 1) -> Iterator[Any]:
    """Somebody's home directory with room for a cloud in ``~/cloud``; afterwards nothing of it may run."""
    home = directory / "cloud"
    cloud = cloud_process.CloudProcess(home, zones=2, nodes=nodes, settings="")
    home.chmod(0o700)
    (home / "euca.toml").write_text(SETTINGS.format(port=cloud.port, pool=cloud.pool))
    try:
        yield cloud
    finally:
        cloud.stop()


def script(page: str) -> str:
    lines = ["set -euo pipefail", "shopt -s expand_aliases"]
    for block in docs.blocks(page):
        lines.append(f"echo '== {page}:{block.line}'")
        if block.info == "sh run":
            lines.append(block.text)
        elif block.info == "python run":
            lines += ["python - <<'END'", block.text + "END"]
    return "\n".join(lines)


def run(text: str, directory: Path) -> str:
    kept = {name: os.environ[name] for name in ("LANG", "TERM", "TMPDIR") if name in os.environ}
    environment = kept | {
        "HOME": str(directory),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout


def test_the_tour_of_the_readme(cloud_process: Any, tmp_path: Path) -> None:
    with reader(cloud_process, tmp_path):
        said = run(script("README.md"), tmp_path)
    for promised in (
        "InsufficientInstanceCapacity",
        "ruled out:",
        "target: west/host-1",
        "shutting-down",
        "up: ended",
    ):
        assert promised in said, said


def test_the_tutorial(cloud_process: Any, tmp_path: Path) -> None:
    with reader(cloud_process, tmp_path):
        said = run(script("docs/tutorial.md"), tmp_path)
    for promised in (
        "node zone-b/host-1 answers",
        "as wanted",
        "simulated machine",
        "shutting-down",
        "up: ended",
    ):
        assert promised in said, said


def test_the_users_guide(cloud_process: Any, tmp_path: Path) -> None:
    with reader(cloud_process, tmp_path) as cloud:
        cloud.start()
        cloud.euca("build_test_image", "--register")
        cloud.euca("credentials", "admin", str(tmp_path / "admin"))
        said = run(script("docs/users-guide.md"), tmp_path)
    for promised in (
        "['zone-a', 'zone-b']",
        "running\t127.",
        "stopping",
        "generation 2 started",
    ):
        assert promised in said, said


def test_the_administrators_guide(cloud_process: Any, tmp_path: Path) -> None:
    with reader(cloud_process, tmp_path) as cloud:
        cloud.start()
        said = run(f"export EUCA_HOME={cloud.home}\n" + script("docs/administrators-guide.md"), tmp_path)
        assert {row["name"]: row["enabled"] for row in cloud.ask("users")} == {"admin": True, "alice": True}
    for promised in (
        "alice@example.org",
        "enabled  no",
        "revoked",
        "default/account",
        "user/alice",
        "round_robin",
    ):
        assert promised in said, said
