"""A private libvirt host, and a node controller on it with one machine of the test image: what these tests share.

The host is started once per process.  EUCA_TEST_LIBVIRT_URI names a libvirt to use instead.  A file system that is
small enough to be filled is mounted before it: a host's namespace has the mounts of its beginning.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.ids import SystemIds
from euca_rpc.images.test_image import TestImage, build
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.hypervisor import Mark
from euca_rpc.node.network import UserNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.wire.codec import pack

GIVEN = os.environ.get("EUCA_TEST_LIBVIRT_URI")
SMALL_MB = 96


@pytest.fixture(scope="session")
def small() -> Iterator[Path]:
    """A file system of `SMALL_MB`."""
    if GIVEN:
        pytest.skip("a libvirt that is there already would not see the file system made here")
    place = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))
    options = f"size={SMALL_MB}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


@pytest.fixture(scope="session")
def real_host(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of a libvirt that runs QEMU."""
    if GIVEN:
        yield GIVEN
        return
    request.getfixturevalue("small")
    with tempfile.TemporaryDirectory(prefix="eh", dir="/tmp") as folder:
        host = LibvirtHost(Path(folder) / "h", "one")
        host.start()
        try:
            host.wait_ready()
            yield host.uri
        finally:
            host.stop()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> TestImage:
    return build(tmp_path_factory.mktemp("image"))


class ThreadCarrier:
    def call(
        self, peer: str, method: str, args: dict[str, object], on_answer: Callable[[Answer], None]
    ) -> None:
        raise AssertionError("a node calls nobody")

    def run(self, key: str, job: Callable[[], object], on_answer: Callable[[Answer], None]) -> None:
        def work() -> None:
            try:
                answer = Answer(job())
            except EucaError as error:
                answer = Answer(error=error)
            on_answer(answer)

        threading.Thread(target=work, daemon=True).start()


@dataclass
class Files:
    """Images that lie on this disk already."""

    files: dict[str, Path]

    def fetch(self, ref: BlobRef) -> Path:
        return self.files[ref.image_id]


class Site:
    """A node controller on the host, and ssh into its machines with a key of its own."""

    def __init__(
        self, uri: str, home: Path, keys: Path, files: dict[str, Path], offer: OfferSettings
    ) -> None:
        from euca_rpc.node.libvirt_driver import LibvirtHypervisor

        self._key = keys / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        self.public_key = self._key.with_suffix(".pub").read_text().strip()
        self.home = home
        self._specs: list[MachineSpec] = []
        self._driver = LibvirtHypervisor(uri, "qemu")
        self.node = NodeService(
            "west/one",
            "cloud-t",
            home,
            self._driver,
            Files(files),
            ThreadCarrier(),
            SystemClock(),
            SystemIds(),
            offer,
            UserNetwork(),
            poke=lambda: None,
        )

    def spec(self, hostname: str, **more: Any) -> MachineSpec:
        """Of a machine with the test image's kernel, unless ``more`` says otherwise."""
        number = len(self._specs) + 11
        blobs = {name: BlobRef(name, "0" * 64, 1, 16 << 20, "raw", "") for name in ("emi", "eki", "eri")}
        usual: dict[str, Any] = {
            "instance_id": f"i-{secrets.token_hex(4)}",
            "generation": 1,
            "reboots": 0,
            "fresh": True,
            "account_id": "123456789012",
            "cores": 1,
            "memory_mb": 128,
            "disk_gb": 1,
            "architecture": "x86_64",
            "image": blobs["emi"],
            "kernel": blobs["eki"],
            "ramdisk": blobs["eri"],
            "mac": f"d0:0d:00:00:00:{number:02x}",
            "private_address": "10.77.5.3",
            "public_address": f"127.31.{secrets.randbelow(254) + 1}.{number}",
            "hostname": hostname,
            "public_key": self.public_key,
            "user_data": b"",
        }
        made = MachineSpec(**{**usual, **more})
        self._specs.append(made)
        return made

    def run(self, spec: MachineSpec, seconds: float = 30.0) -> None:
        """Accepted, and until the node says that it runs."""
        assert self.node.ensure([pack(spec)]) == {"accepted": 1, "refused": []}
        self.until(lambda: self.seen(spec) in ("running", "failed"), seconds)
        assert (self.seen(spec), self.seen(spec, "detail")) == ("running", "")

    def seen(self, spec: MachineSpec, key: str = "seen") -> str:
        machines = self.node.report()["machines"]
        return next((str(m[key]) for m in machines if m["instance_id"] == spec.instance_id), "")

    def ssh(self, spec: MachineSpec, command: str) -> str:
        """What it says, "" while it cannot be reached."""
        said = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "5",  # a guest that died ends the call
            "BatchMode": "yes",
        }
        options = [part for name, value in said.items() for part in ("-o", f"{name}={value}")]
        words = ["ssh", *options, "-i", str(self._key), f"root@{spec.public_address}", command]
        return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout

    @staticmethod
    def until(what: Callable[[], object], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.1)

    def close(self) -> None:
        for spec in self._specs:
            with contextlib.suppress(EucaError):
                self._driver.stop(Mark("cloud-t", "west/one", spec.instance_id, 99))
        self.node.close()
        self._driver.close()


@pytest.fixture
def make_site(real_host: str, image: TestImage, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """``make_site(home=…, disk=…, **offer)``; without a disk, that of the test image."""
    pytest.importorskip("libvirt")
    made: list[tuple[Site, bool]] = []

    def make(home: Path | None = None, disk: Path | None = None, **offer: int) -> Site:
        ours = home or Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        files = {"emi": disk or image.disk, "eki": image.kernel, "eri": image.ramdisk}
        site = Site(real_host, ours, tmp_path, files, OfferSettings(cores=4, **offer))
        made.append((site, home is None))
        return site

    yield make
    for site, temporary in made:
        site.close()
        if temporary:
            shutil.rmtree(site.home)
