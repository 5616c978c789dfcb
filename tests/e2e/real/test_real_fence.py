"""A host that joined by its token, from a home of its own: drained around, not removed while it has a machine, lost,
fenced, back with its old certificate, added anew.  Its disks are set aside, never deleted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually

NODE, NAME, NEIGHBOUR = "zone-b/spare", "zone-b-spare", "zone-b/host-1"


class Spare:
    """The host's side: what an administrator would type there."""

    def __init__(self, real: Any) -> None:
        self.home = real.home / "spare"
        self.port = real.port + 60
        self.libvirt = LibvirtHost(self.home / "hosts" / NAME, NAME)
        self.process: subprocess.Popen[bytes] | None = None
        self.space = ""
        learnt = real.home / "hosts" / ".capabilities"
        shutil.copytree(learnt, self.home / "hosts" / ".capabilities")  # else QEMU is probed for seconds

    @property
    def node_home(self) -> Path:
        return self.home / "nodes" / NAME

    def on(self, token: str) -> None:
        node = [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(self.home), "node"]
        node += ["--zone", "zone-b", "--host", "spare", "--token", token, "--listen-port", str(self.port)]
        node += ["--hypervisor", "qemu", "--offer", "4", "2048", "60"]
        command = [sys.executable, "-m", "euca_rpc.host", str(self.libvirt.directory), NAME, "--", *node]
        with (self.home / "host.log").open("ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        eventually("its init runs", lambda: self.libvirt.init_pid, 20.0)
        self.space = real_cloud.pid_space(self.libvirt.init_pid)

    def off(self) -> None:
        """Power lost."""
        if (pid := self.libvirt.init_pid) is not None:
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(20.0)
        eventually("all of it is gone", lambda: not real_cloud.members(self.space), 10.0)

    def said(self) -> str:
        """By whoever runs on it: the daemon's own log, and what its init kept of it before that was open."""
        logs = [*(self.libvirt.directory / "log").glob("child-0.log"), *(self.home / "log").glob("*.log*")]
        return "".join(log.read_text(errors="replace") for log in logs)

    def refusal(self) -> str:
        """The last line that says so; "revoked: …" alone may be the beat of that name, saying that nobody answers."""
        said = self.said()
        lines = [line for line in said.splitlines() if "was revoked" in line]
        if not lines:
            raise LookupError(said[-3000:])
        return lines[-1]

    def qemus(self) -> list[str]:
        return [command for _, command in real_cloud.members(self.space) if "guest=i-" in command]


@pytest.fixture(scope="module")
def spare(real: Any) -> Iterator[Spare]:
    one = Spare(real)
    try:
        yield one
    finally:
        one.off()
        real.euca("node", "undrain", NEIGHBOUR, check=False)
        real.euca("node", "fence", NODE, "--yes", check=False)


@pytest.fixture(scope="module")
def token(real: Any, spare: Spare) -> str:
    made = real.euca("node", "add", NODE)["token"]
    spare.on(made)
    eventually("it has joined", lambda: state(real) == ("active", True), 60.0)
    return str(made)


@pytest.fixture(scope="module")
def guest(real: Any, spare: Spare, token: str) -> Any:
    """Its neighbour is drained, so the zone's next machine is here."""
    real.euca("node", "drain", NEIGHBOUR)
    (one,) = real.boot(zone="zone-b")
    one.up()
    one.write(f"of {one.id}")
    return one


def state(real: Any) -> tuple[str, bool]:
    row = real.nodes().get(NODE, {})
    return row.get("state", ""), row.get("up", False)


def test_a_drained_node_takes_no_new_machine_and_keeps_those_it_has(
    real: Any, pair: list[Any], guest: Any
) -> None:
    assert real.ask("explain", id=guest.id)["node"] == NODE
    assert real.ask("explain", id=pair[1].id)["node"] == NEIGHBOUR
    assert pair[1].life() is not None
    assert real.nodes()[NEIGHBOUR]["state"] == "drained"
    real.euca("node", "undrain", NEIGHBOUR)
    assert real.nodes()[NEIGHBOUR]["state"] == "active"


def test_remove_is_refused_while_a_machine_is_there(real: Any, guest: Any) -> None:
    refusal = f"{NODE} still has 1 instances .*{guest.id}.*drain it, terminate them"
    with pytest.raises(EucaError, match=refusal):
        real.ask("node_remove", name=NODE)
    assert guest.life() is not None


def test_a_fenced_nodes_machines_are_terminated_with_that_reason(real: Any, spare: Spare, guest: Any) -> None:
    spare.off()
    real.euca("node", "fence", NODE, "--yes")
    assert real.states(guest.id) == {guest.id: "terminated"}
    assert real.reason(guest.id) == ("Server.NodeFenced", f"{NODE} was fenced by admin: its host is off")
    assert real.nodes()[NODE]["state"] == "fenced"
    assert real.nodes()[NODE]["instances"] == 0


def test_it_comes_back_with_the_old_certificate_and_is_refused_by_name(
    real: Any, spare: Spare, token: str, guest: Any
) -> None:
    spare.on(token)
    told = eventually("it is told that it was revoked", spare.refusal, 60.0)
    assert "the node controller zone-b/spare" in told
    assert state(real) == ("fenced", False)
    assert not spare.qemus(), "what it had does not run"
    # where it was, or set aside already: it may come back before its cluster controller is told of the fence, and be
    # told absent, the one thing that it may be told
    assert [disk.parent.name for disk in spare.node_home.glob(f"*/{guest.id}*/disk.qcow2")]
    spare.off()


def test_added_anew_it_is_told_absent_and_sets_the_disks_aside(real: Any, spare: Spare, guest: Any) -> None:
    spare.on(real.euca("node", "add", NODE)["token"])
    eventually("it has joined again", lambda: state(real) == ("active", True), 60.0)
    eventually("it holds nothing", lambda: not list((spare.node_home / "instances").iterdir()), 30.0)
    (aside,) = (spare.node_home / "set-aside").iterdir()
    assert aside.name.startswith(guest.id)
    assert (aside / "disk.qcow2").exists()
    assert not spare.qemus()
    assert real.states(guest.id) == {guest.id: "terminated"}
    assert real.nodes()[NODE]["free"] == real.nodes()[NODE]["offer"]
    spare.off()
    real.euca("node", "remove", NODE)
    assert NODE not in real.nodes()
