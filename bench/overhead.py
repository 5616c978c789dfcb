"""What a launch costs over bare libvirt, with real guests.

    A  RunInstances (signed, http) ─► cloud ─► cluster ─► node ─► libvirt ─► STARTED event
    B  createXML of the same domain (node/domain_xml.py) on the same private libvirtd ─► STARTED event
    C  what the node does to disks before that (overlay, grow, key, seed: injection), by its own function, alone

A, B and C take turns; no other guest runs meanwhile.  The moment of "running" is in A and B the same libvirt event,
seen by the same connection.  The launch brings a key pair, so that a key is injected.
"""

from __future__ import annotations

import base64
import contextlib
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from euca_rpc.ids import mac_address
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.disks import RealDisks
from euca_rpc.node.domain_xml import domain_xml
from euca_rpc.node.hypervisor import Mark
from euca_rpc.node.machine import no_crash, prepare
from euca_rpc.node.network import UserNetwork

from .figures import spread
from .load import Job, run
from .servers import Euca
from .signed import Signer

LONGEST = 60.0
POOL = '[network]\naddress_pool = "127.77.0.0/16"\n'
BARE = "i-000000ba"  # the bare domain's name; its address lies outside the pool
FIGURES = ("launch", "answer", "shown", "bare", "injection", "difference", "remainder")


class Watch:
    """The moments at which domains started, as libvirt's events tell them."""

    def __init__(self, uri: str) -> None:
        libvirt.virEventRegisterDefaultImpl()
        self._ending = False
        self._started: dict[str, float] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._turn, name="libvirt-events", daemon=True).start()
        self.connection = libvirt.open(uri)
        self.connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._take, None)

    def _turn(self) -> None:
        while not self._ending:
            libvirt.virEventRunDefaultImpl()

    def _take(self, _: Any, domain: Any, event: int, detail: int, opaque: Any) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            with self._news:
                self._started[domain.name()] = time.perf_counter()
                self._news.notify_all()

    def started(self, name: str) -> float:
        with self._news:
            if not self._news.wait_for(lambda: name in self._started, LONGEST):
                raise TimeoutError(f"{name} was not started within {LONGEST:g} s")
            return self._started.pop(name)

    def gone(self, name: str) -> None:
        until = time.monotonic() + LONGEST
        while any(domain.name() == name for domain in self.connection.listAllDomains()):
            if time.monotonic() > until:
                raise TimeoutError(f"{name} is still there after {LONGEST:g} s")
            time.sleep(0.02)

    def close(self) -> None:
        self._ending = True
        self.connection.close()


def launch_overhead(home: Path, rounds: int) -> dict[str, Any]:
    with contextlib.ExitStack() as ended:
        euca = ended.enter_context(Euca(home / "real", hypervisor="qemu", zones=1, nodes=1, settings=POOL))
        made = euca.euca("build_test_image", str(home / "image"), "--register")
        files = {kind: Path(made[f"{kind}_file"]) for kind in ("disk", "kernel", "ramdisk")}
        client = Client(euca, Signer(*euca.credentials()))
        key = public_key()
        client.ask(
            "ImportKeyPair", KeyName="bench", PublicKeyMaterial=base64.b64encode(key.encode()).decode()
        )
        (socket,) = (home / "real" / "hosts").glob("*/run/libvirt-sock")
        watch = Watch(f"qemu+unix:///system?socket={socket}")
        ended.callback(watch.close)
        found: dict[str, list[float]] = {key: [] for key in FIGURES}
        for number in range(-1, rounds):  # round -1 brings the image to the node and is not counted
            figures = client.launch(watch, made["image"])
            with bare_machine(home / "bare", files, key) as (injection, xml):
                figures["injection"] = injection
                figures["bare"] = create(watch, xml)
            figures["difference"] = figures["launch"] - figures["bare"]
            figures["remainder"] = figures["difference"] - injection
            if number >= 0:
                for key, values in found.items():
                    values.append(figures[key])
    spreads = {key: spread(values) for key, values in found.items()}
    return {
        "rounds": rounds,
        "virtualisation": "TCG",
        **{
            key: {"min": round(s.low, 4), "median": round(s.middle, 4), "max": round(s.high, 4)}
            for key, s in spreads.items()
        },
    }


# ------------------------------------------------------------------------------------------ A: through the cloud
class Client:
    def __init__(self, euca: Euca, signer: Signer) -> None:
        self._port, self._signer, self._home = euca.port, signer, euca.home

    def ask(self, action: str, **parameters: str) -> str:
        spelt = {name.replace("_", "."): value for name, value in parameters.items()}
        result = run(Job("127.0.0.1", self._port, [self._signer.request(action, spelt)]))
        if result.refused:
            raise RuntimeError(f"{action}: {result.refused[0]}; the cloud's log ends with\n{self._log()}")
        return result.bodies[0].decode()

    def _log(self) -> str:
        return (self._home / "log" / "cloud.log").read_text()[-4000:]

    def launch(self, watch: Watch, image: str) -> dict[str, float]:
        """One machine, timed, and ended again."""
        began = time.perf_counter()
        said = self.ask(
            "RunInstances",
            ImageId=image,
            MinCount="1",
            MaxCount="1",
            InstanceType="m1.small",
            KeyName="bench",
        )
        answered = time.perf_counter()
        found = re.search(r"<instanceId>(i-[0-9a-f]{8})<", said)
        if found is None:
            raise RuntimeError(f"RunInstances answered {said[:500]}")
        id = found[1]
        running = watch.started(id)
        self.until(id, "running", 0.01)
        shown = time.perf_counter()
        self.ask("TerminateInstances", InstanceId_1=id)
        watch.gone(id)
        self.until(id, "terminated", 0.05)
        return {"launch": running - began, "answer": answered - began, "shown": shown - began}

    def until(self, id: str, state: str, pause: float) -> None:
        until = time.monotonic() + LONGEST
        while f"<name>{state}</name>" not in self.ask("DescribeInstances", InstanceId_1=id):
            if time.monotonic() > until:
                raise TimeoutError(f"{id} is not {state} after {LONGEST:g} s")
            time.sleep(pause)


# ---------------------------------------------------------------------------------------------- B and C: without it
class Local:
    """Images that lie on this disk already, as the node's cache has them after the first launch."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def fetch(self, ref: BlobRef) -> Path:
        return self._files[ref.image_id]


def blob(kind: str, files: dict[str, Path]) -> BlobRef:
    size = files[kind].stat().st_size
    return BlobRef(kind, "", size, size, "raw", "")


def public_key() -> str:
    made = Ed25519PrivateKey.generate().public_key()
    return made.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@contextlib.contextmanager
def bare_machine(folder: Path, files: dict[str, Path], key: str) -> Iterator[tuple[float, str]]:
    """What a node prepares for a machine, and how long it takes; the XML of its domain."""
    folder.mkdir(mode=0o755)
    spec = MachineSpec(
        instance_id=BARE,
        generation=1,
        reboots=0,
        fresh=True,
        account_id="000000000000",
        cores=1,
        memory_mb=128,
        disk_gb=10,
        architecture=platform.machine(),
        image=blob("disk", files),
        kernel=blob("kernel", files),
        ramdisk=blob("ramdisk", files),
        mac=mac_address(BARE),
        private_address="10.78.0.20",
        public_address="127.78.0.20",
        hostname="bare",
        public_key=key,
    )
    mark = Mark("bench", "bench/bare", BARE, 1)  # of another cloud: the node counts it and leaves it alone
    try:
        began = time.perf_counter()
        plan = prepare(spec, mark, folder, RealDisks(Local(files)), UserNetwork(22), lambda: True, no_crash)
        took = time.perf_counter() - began
        yield took, domain_xml(plan, "qemu")
    finally:
        shutil.rmtree(folder)


def create(watch: Watch, xml: str) -> float:
    began = time.perf_counter()
    domain = watch.connection.createXML(xml)
    took = watch.started(BARE) - began
    domain.destroy()
    watch.gone(BARE)
    return took
