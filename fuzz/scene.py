"""A real cloud controller with something in it, the live EC2 interface in front, and a spy on what is executed.

The clock stands still, so that a genuine request stays genuine; used SOAP signatures are forgotten before each turn
for the same reason.  What is executed is noted where the endpoint calls an operation, after all verifying and parsing.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from euca_ec2 import endpoint as endpoint_module
from euca_ec2.operations import ACTIONS
from euca_ec2.server import Ec2Interface
from euca_ec2.settings import Ec2Settings
from euca_rpc.clock import SECOND
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = ROOT / "tests" / "protocol"
WRITES = 1500  # successful changes after which a fresh copy of the cloud is taken


def load(name: str, path: Path) -> ModuleType:
    """A module of the tests, which are no packages."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


world = load("ec2_world", PROTOCOL / "ec2" / "ec2_world.py")
query = load("query_letters", PROTOCOL / "ec2" / "query_letters.py")
soap = load("soap_letters", PROTOCOL / "soap" / "soap_letters.py")

KEY = query.Key("AKFUZZ00000000000001", "fuzz-secret-0123456789")
IDENTITY = soap.identity("fuzz")


@dataclass(frozen=True, slots=True)
class Executed:
    """An operation as it was carried out: for whom, and the message that was parsed."""

    user_id: str
    action: str
    version: str
    message: Any


class _Credentials:
    """One caller, with an access key and a certificate."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def by_access_key(self, access_key_id: str) -> Credential | None:
        return Credential(self._caller, KEY.secret) if access_key_id == KEY.id else None

    def by_certificate(self, der: bytes) -> Caller | None:
        return self._caller if der == IDENTITY.der else None


class Scene:
    def __init__(self, home: Path) -> None:
        self._home = home
        self.executed: list[Executed] = []
        self._originals = dict(ACTIONS)
        self._original_sts = endpoint_module.sts.get_caller_identity
        for name, action in self._originals.items():
            ACTIONS[name] = dataclasses.replace(action, perform=self._spied(name, action.perform))
        endpoint_module.sts.get_caller_identity = self._spied_sts
        (home / "prepared").mkdir()
        world.prepare(home / "prepared")
        self._open()

    def _open(self) -> None:
        self._copy = self._home / "cloud"
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._home / "prepared", self._copy)
        self.world = world.World(self._copy)
        self.writes = 0
        core = dataclasses.replace(self.world.core, credentials=_Credentials(self.world.ann))
        settings = Ec2Settings(
            port=0,
            sigv1=True,
            rate=0.0,
            threads=4,
            request_seconds=5.0,
            state_directory=str(self._home / "soap"),
        )
        self.interface = Ec2Interface(core, settings)
        self.interface.start()

    def renew(self) -> None:
        """The cloud as it was in the beginning, so that nothing grows but what leaks."""
        self.interface.stop()
        self.world.close()
        self._open()

    def close(self) -> None:
        self.interface.stop()
        self.world.close()
        ACTIONS.update(self._originals)
        endpoint_module.sts.get_caller_identity = self._original_sts

    @property
    def endpoint(self) -> endpoint_module.Endpoint:
        return self.interface.endpoint

    @property
    def now(self) -> float:
        """Seconds since 1970, as the endpoint sees them."""
        return float(self.world.core.clock.wall()) / SECOND

    @property
    def caller(self) -> Caller:
        return self.world.ann

    def forget(self) -> None:
        """Nothing was executed and no signature used."""
        self.executed.clear()
        replays = self.endpoint.replays
        assert replays is not None
        replays._alive.clear()
        replays._records = 0

    def _spied(self, name: str, perform: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(perform)
        def spied(asked: Any, message: Any) -> Any:
            self.executed.append(Executed(asked.caller.user_id, name, asked.version, message))
            if not name.startswith(("Describe", "Get")):
                self.writes += 1
            return perform(asked, message)

        return spied

    def _spied_sts(self, caller: Caller, parameters: Any, request_id: str) -> bytes:
        self.executed.append(
            Executed(caller.user_id, "GetCallerIdentity", "", tuple(sorted(parameters.items())))
        )
        return self._original_sts(caller, parameters, request_id)
