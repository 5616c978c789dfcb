"""`euca up` by a user who is not root: real machines are refused at once with what is missing, simulated ones work."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="no setpriv"),
]

NOBODY = 65534
# nothing of root but that it may read this interpreter and checkout, wherever they lie
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def theirs() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="euca-nobody-"))
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


def euca(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    way = (*AS_NOBODY, *READING) if os.geteuid() == 0 else ()
    command = [*way, sys.executable, "-m", "euca_rpc.cli.main", "--home", str(home), *words]
    environment = {**os.environ, "HOME": str(home.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, cwd=home.parent
    )


def free_port() -> str:
    return str(sys.modules["cloud_process"].free_ports())


@pytest.mark.parametrize("hypervisor", ["auto", "qemu"])
def test_real_machines_are_refused_at_once_with_what_is_missing(theirs: Path, hypervisor: str) -> None:
    began = time.monotonic()
    done = euca(theirs / "home", "up", "--hypervisor", hypervisor, "--port", free_port(), "--detach")
    assert done.returncode == 1
    assert f"Real machines (hypervisor '{hypervisor}') need root here" in done.stderr
    assert "Run it again with sudo" in done.stderr
    assert "euca up --hypervisor simulated" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20
    assert not (theirs / "home").exists(), "nothing was made"


def test_a_simulated_cloud_needs_no_rights_and_its_home_is_private(theirs: Path) -> None:
    home = theirs / "home"
    try:
        done = euca(home, "up", "--hypervisor", "simulated", "--port", free_port(), "--detach")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = json.loads(euca(home, "nodes", "--json").stdout)
        assert [(row["id"], row["up"]) for row in rows] == [("zone-a/host-1", True)]
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert [row for row in json.loads(euca(home, "doctor", "--json").stdout) if not row["ok"]] == []
    finally:
        ended = euca(home, "down")
    assert ended.returncode == 0, ended.stderr
