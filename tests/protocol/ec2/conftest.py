"""A core in memory that implements the nouns, and the live interface in front of it on a loopback port."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import shutil
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from euca_ec2 import euca_interface
from euca_rpc.clock import SECOND, ManualClock, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds, mac_address, resource_id
from euca_rpc.nouns import Core, Credential
from euca_rpc.shown import Console, InstanceStatus, Launched, Reach, Transition, TypeRoom, ZoneStatus
from euca_rpc.types import Caller, Image, Instance, KeyPair, Reservation, VmType


def _load(name):
    """Under importlib mode a test folder is no package and not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


real = _load("ec2_world")
SHARED = Path(__file__).resolve().parents[4] / "shared"
ADMIN = Caller("u-admin", "admin", "111111111111", True)
ANN = Caller("u-ann", "ann", "222222222222", False)
BOB = Caller("u-bob", "bob", "333333333333", False)
KEYS = {
    "AKADMIN0000000000001": Credential(ADMIN, "admin-secret-0123456789"),
    "AKANN000000000000001": Credential(ANN, "ann-secret-0123456789"),
    "AKBOB000000000000001": Credential(BOB, "bob-secret-0123456789"),
    # the throwaway credentials of the captures
    "AKTHROWAWAY000000001": Credential(ANN, "throwaway-secret-key-for-captures"),
}
VM_TYPES = [
    VmType("m1.small", 1, 128, 10, 0),
    VmType("c1.medium", 1, 256, 10, 1),
    VmType("m1.large", 2, 512, 10, 2),
]


class FakeCloud:
    """Small, honest semantics: accounts are kept apart, tokens remembered, capacity counted in machines."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.random = SeededIds(1)
        self.lock = threading.Lock()
        self.capacity = 5000
        self.up = True
        self.key_rows: dict[tuple[str, str], KeyPair] = {}
        self.reservations: dict[str, Reservation] = {}
        self.rows: dict[str, InstanceStatus] = {}
        self.tokens: dict[tuple[str, str], tuple[object, str]] = {}
        self.requests: list[object] = []  # every LaunchRequest seen
        self.console_future: Future[Console] | None = None
        self.broken: Exception | None = None
        self.image_rows = [
            Image("emi-12345678", "machine", "test", ADMIN.account_id, ADMIN.user_id, "ab" * 32, 1, 1, "raw",
                  "x86_64", "eki-12345678", "eri-12345678", created_at=clock.now()),
            Image("eki-12345678", "kernel", "kernel", ADMIN.account_id, ADMIN.user_id, "ab" * 32, 1, 1, "raw",
                  "x86_64", created_at=clock.now()),
            Image("eri-12345678", "ramdisk", "ramdisk", ADMIN.account_id, ADMIN.user_id, "ab" * 32, 1, 1, "raw",
                  "x86_64", created_at=clock.now()),
            Image("emi-0000beef", "machine", "bob's own", BOB.account_id, BOB.user_id, "cd" * 32, 1, 1, "raw",
                  "x86_64", public=False, created_at=clock.now()),
        ]  # fmt: skip
        self.zones, self.types, self.images = _Zones(self), _Types(self), _Images(self)
        self.keys, self.instances, self.tags = _Keys(self), _Instances(self), _Tags(self)

    def core(self) -> Core:
        return Core(
            "cloud-1",
            self.zones,
            self.types,
            self.images,
            self.keys,
            self.instances,
            self.tags,
            self,
            *(None,) * 6,  # EC2 knows nothing of sign-up, sessions, people, mails, history and nodes
            self.clock,
            SeededIds(2),
        )

    def by_access_key(self, access_key_id: str) -> Credential | None:
        return KEYS.get(access_key_id)

    def by_certificate(self, der: bytes) -> Caller | None:
        return None

    def free(self) -> int:
        return self.capacity - sum(1 for it in self.rows.values() if it.state != "terminated")

    def settle(self, state: str = "running", **changes) -> None:
        """All instances take the state, as if their nodes had reported."""
        for number, (id, it) in enumerate(self.rows.items()):
            row = dataclasses.replace(
                it.instance,
                version=it.instance.version + 1,
                private_address=f"10.0.{number // 250}.{number % 250 + 1}",
                public_address=f"127.1.{number // 250}.{number % 250 + 1}",
                **changes,
            )
            self.rows[id] = InstanceStatus(row, state)


class _Noun:
    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud


class _Zones(_Noun):
    def describe(self, caller, names=()):
        for name in names:
            if name != "open":
                raise EucaError("zone_not_found", f"There is no zone {name!r}.")
        if self.cloud.broken:
            raise self.cloud.broken
        reach = Reach(True) if self.cloud.up else Reach(False, 1_700_000_000 * SECOND)
        rooms = tuple(TypeRoom(kind, self.cloud.free(), self.cloud.capacity) for kind in VM_TYPES)
        return [ZoneStatus("open", reach, rooms, (("host1", reach),) if caller.is_admin else ())]


class _Types(_Noun):
    def describe(self, caller, names=()):
        for name in names:
            if name not in {kind.name for kind in VM_TYPES}:
                raise EucaError("type_not_found", f"There is no VM type {name!r}.")
        return [kind for kind in VM_TYPES if not names or kind.name in names]


class _Images(_Noun):
    def describe(self, caller, ids=()):
        seen = {
            it.id: it
            for it in self.cloud.image_rows
            if caller.is_admin or it.public or it.account_id == caller.account_id
        }
        for id in ids:
            if id not in seen:
                raise EucaError("image_not_found", f"The image id {id!r} does not exist.")
        return [it for it in seen.values() if not ids or it.id in ids]

    def create(self, caller, instance_id, name, description=""):
        like = self.cloud.image_rows[0]
        made = dataclasses.replace(
            like, id=resource_id(self.cloud.random, "emi-"), name=name, description=description,
            account_id=caller.account_id, public=False, state="pending", reason_code="Server.Capturing",
            reason=f"the disk of {instance_id} & its <node>",
        )  # fmt: skip
        self.cloud.image_rows.append(made)
        return made


class _Keys(_Noun):
    def _add(self, caller, name, public_key):
        if (caller.account_id, name) in self.cloud.key_rows:
            raise EucaError("key_duplicate", f"The key pair {name!r} already exists.")
        pair = KeyPair(
            resource_id(self.cloud.random, "key-"), caller.account_id, caller.user_id, name, public_key,
            ":".join(hashlib.md5(public_key.encode()).hexdigest()[i : i + 2] for i in range(0, 32, 2)), "rsa",
            self.cloud.clock.now(),
        )  # fmt: skip
        self.cloud.key_rows[caller.account_id, name] = pair
        return pair

    def create(self, caller, name, key_type="rsa"):
        pair = self._add(caller, name, f"ssh-rsa AAAA {name}")
        return pair, "-----BEGIN RSA PRIVATE KEY-----\nfake & <short>\n-----END RSA PRIVATE KEY-----\n"

    def import_(self, caller, name, material):
        if not material.startswith(b"ssh-rsa"):
            raise EucaError("key_format", "The key material is in no known format.")
        return self._add(caller, name, material.decode())

    def describe(self, caller, names=()):
        mine = {
            name: it for (account, name), it in self.cloud.key_rows.items() if account == caller.account_id
        }
        for name in names:
            if name not in mine:
                raise EucaError("key_not_found", f"The key pair {name!r} does not exist.")
        return [it for name, it in mine.items() if not names or name in names]

    def delete(self, caller, name):
        return self.cloud.key_rows.pop((caller.account_id, name), None) is not None


class _Instances(_Noun):
    def launching(self, caller, request):
        yield from ()
        return self.launch(caller, request)

    def launch(self, caller, request):
        cloud = self.cloud
        with cloud.lock:
            cloud.requests.append(request)
            token = (caller.account_id, request.client_token or "")
            plain = dataclasses.replace(request, client_token=None)
            if request.client_token and token in cloud.tokens:
                before, reservation_id = cloud.tokens[token]
                if before != plain:
                    raise EucaError("token_mismatch", "The client token was used with other parameters.")
                held = cloud.reservations[reservation_id]
                return Launched(held, tuple(cloud.rows[id] for id in held.instance_ids))
            cloud.images.describe(caller, [request.image_id])
            if request.key_name:
                cloud.keys.describe(caller, [request.key_name])
            count = min(request.max_count, cloud.free())
            if count < request.min_count:
                raise EucaError(
                    "capacity_exhausted",
                    f"{request.min_count} machines are asked for; there is room for {count}.",
                )
            reservation_id, now = resource_id(cloud.random, "r-"), cloud.clock.now()
            ids = [resource_id(cloud.random, "i-") for _ in range(count)]
            held = Reservation(reservation_id, caller.account_id, caller.user_id, tuple(ids), now)
            cloud.reservations[reservation_id] = held
            for index, id in enumerate(ids):
                row = Instance(
                    id, reservation_id, caller.account_id, caller.user_id, index, request.image_id, request.kernel_id,
                    request.ramdisk_id, "x86_64", request.vm_type, 1, 128, 10, request.zone or "open", "open/host1",
                    request.key_name, "", request.user_data, mac_address(id), "", "", request.client_token,
                    request.shutdown_behavior, request.service_class, now,
                )  # fmt: skip
                cloud.rows[id] = InstanceStatus(row, "pending")
            if request.client_token:
                cloud.tokens[token] = plain, reservation_id
            return Launched(held, tuple(cloud.rows[id] for id in ids))

    def _mine(self, caller, ids):
        for id in ids:
            it = self.cloud.rows.get(id)
            if it is None or not (caller.is_admin or it.instance.account_id == caller.account_id):
                raise EucaError("instance_not_found", f"The instance id {id!r} does not exist.")

    def describe(self, caller, ids=()):
        self._mine(caller, ids)
        for held in self.cloud.reservations.values():
            if not caller.is_admin and held.account_id != caller.account_id:
                continue
            inside = tuple(self.cloud.rows[id] for id in held.instance_ids if not ids or id in ids)
            if inside:
                yield held, inside

    def _move(self, caller, ids, state, kept=()):
        self._mine(caller, ids)
        moved = []
        for id in ids:
            before = self.cloud.rows[id]
            after = before.state if before.state in kept else state
            row = dataclasses.replace(before.instance, version=before.instance.version + 1)
            self.cloud.rows[id] = InstanceStatus(row, after)
            moved.append(Transition(id, before.state, after))
        return moved

    def terminate(self, caller, ids):
        return self._move(caller, ids, "shutting-down", kept=("terminated",))

    def reboot(self, caller, ids):
        self._mine(caller, ids)

    def stop(self, caller, ids):
        return self._move(caller, ids, "stopping")

    def start(self, caller, ids):
        return self._move(caller, ids, "pending")

    def console(self, caller, id):
        self._mine(caller, [id])
        if self.cloud.console_future is not None:
            return self.cloud.console_future
        future: Future[Console] = Future()
        future.set_result(Console(id, b"booting\r\n\x1b[1mlogin:\xff", self.cloud.clock.now()))
        return future


class _Tags(_Noun):
    """Nothing is tagged here: what tags mean is tested on the real core."""

    def describe(self, caller):
        return []

    def of(self, resource_id):
        return ()


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("the shared captures and WSDLs are not beside this checkout")
    return SHARED


@pytest.fixture
def cloud():
    return FakeCloud(SystemClock())


@pytest.fixture
def pinned_cloud():
    return FakeCloud(ManualClock(1_795_000_000 * SECOND))


@pytest.fixture
def serve(cloud, tmp_path):
    """Starts the interface with settings; stopped at the end."""
    running = []

    def start(**settings):
        interface = euca_interface(
            cloud.core(), {"port": 0, "state_directory": str(tmp_path / "ec2"), **settings}
        )
        interface.start()
        running.append(interface)
        return interface

    yield start
    for interface in running:
        interface.stop()


@pytest.fixture
def live(serve):
    return serve()


@pytest.fixture
def client(request):
    import boto3
    from botocore.config import Config

    def make(user="ANN", version="v4", interface=None, **config):
        interface = interface or request.getfixturevalue("live")
        key = next(id for id in KEYS if user in id)
        return boto3.client(
            "ec2",
            region_name="eucalyptus",
            endpoint_url=f"http://127.0.0.1:{interface.port}/services/Eucalyptus",
            aws_access_key_id=key,
            aws_secret_access_key=KEYS[key].secret,
            config=Config(
                retries={"max_attempts": 1, "mode": "standard"},
                signature_version={"v4": "v4", "v2": "v2"}[version],
                **config,
            ),
        )

    return make


# ---------------------------------------------------------------------------------------- the real controller
@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("ec2") / "prepared"
    path.mkdir()
    real.prepare(path)
    return path


@pytest.fixture
def world(prepared, tmp_path):
    """``world()`` → another copy of the same cloud."""
    made = []

    def copy():
        path = tmp_path / f"copy{len(made)}"
        shutil.copytree(prepared, path)
        made.append(real.World(path))
        return made[-1]

    yield copy
    for it in made:
        it.close()


@pytest.fixture(scope="session")
def standing(prepared, tmp_path_factory):
    """A copy for those who only look."""
    path = tmp_path_factory.mktemp("ec2") / "standing"
    shutil.copytree(prepared, path)
    copy = real.World(path)
    yield copy
    copy.close()


@pytest.fixture
def twins(world, standing):
    """Two like clouds, for an action; what only looks may look at one twice."""
    return lambda action: (
        (standing, standing) if action.startswith(("Describe", "Get")) else (world(), world())
    )
