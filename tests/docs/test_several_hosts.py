"""The administrator's guide on several hosts: each host a home of its own on this machine, each daemon started by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

SETTINGS = '[listen]\naddress = "127.0.0.1"\nadvertise = "localhost"\nport = {port}\n'


class Site:
    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self.daemons: list[subprocess.Popen[bytes]] = []

    def command(self, host: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(self.directory / host), *words]

    def euca(self, host: str, *words: str) -> Any:
        done = subprocess.run(
            self.command(host, *words, "--json"), capture_output=True, text=True, timeout=60
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def start(self, host: str, *words: str) -> subprocess.Popen[bytes]:
        with open(self.directory / f"{host}-{words[0]}.log", "ab") as log:
            self.daemons.append(subprocess.Popen(self.command(host, *words), stdout=log, stderr=log))
        return self.daemons[-1]

    def end(self) -> None:
        for daemon in self.daemons:
            with suppress(ProcessLookupError):
                daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@pytest.fixture
def site(cloud_process: Any, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, cloud_process.free_ports())
    head = tmp_path / "head"
    head.mkdir(mode=0o700)
    (head / "euca.toml").write_text(SETTINGS.format(port=made.port))
    yield made
    made.end()


def test_daemons_started_one_by_one_on_hosts_of_their_own_are_one_cloud(
    site: Site, cloud_process: Any
) -> None:
    eventually = cloud_process.eventually
    site.euca("head", "init", "--zones", "east")
    site.start("head", "nameserver")
    site.start("head", "cloud")
    site.start("head", "images", "serve")
    site.start("head", "cluster", "--zone", "east")
    eventually("the cloud answers", lambda: site.euca("head", "zones")[0]["up"], 30.0)

    token = site.euca("head", "node", "add", "east/host-7")["token"]
    node = (
        *("node", "--zone", "east", "--host", "host-7", "--token", token, "--hypervisor", "simulated"),
        *("--address", "127.0.0.2", "--listen-port", str(site.port + 41)),
    )
    first = site.start("hosta", *node)
    west = site.euca("head", "zone", "add", "west")["token"]
    site.euca("head", "node", "add", "west/host-8")  # never started
    site.start(
        *("hostb", "cluster", "--zone", "west", "--token", west),
        *("--address", "127.0.0.3", "--listen-port", str(site.port + 11)),
    )

    def nodes() -> dict[str, bool]:
        return {row["id"]: row["up"] for row in site.euca("head", "nodes")}

    eventually("the node answers", lambda: nodes()["east/host-7"], 30.0)
    eventually("both zones answer", lambda: all(zone["up"] for zone in site.euca("head", "zones")), 30.0)
    assert nodes() == {"east/host-7": True, "west/host-8": False}
    wrong = [finding for finding in site.euca("head", "doctor") if not finding["ok"]]
    assert [finding["check"] for finding in wrong] == ["node west/host-8"]
    assert not (site.directory / "hosta" / "ca").exists(), "the authority stays where it is"

    first.terminate()
    first.wait(10)
    site.start("hosta", *node)  # the same line again: the spent token is no obstacle
    eventually("the node answers again", lambda: nodes()["east/host-7"], 30.0)
    site.daemons[-1].terminate()
    site.daemons[-1].wait(10)
    shutil.rmtree(site.directory / "hosta" / "identities")
    token = site.euca("head", "node", "token", "east/host-7")["token"]
    site.start("hosta", *(token if word == node[6] else word for word in node))
    heard = site.directory / "hosta" / "identities" / "node-east-host-7" / "cert.pem"
    eventually("a new certificate", heard.exists, 30.0)
    site.euca("head", "node", "fence", "east/host-7", "--yes")
    assert nodes()["east/host-7"] is False
