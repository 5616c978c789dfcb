"""`euca rescue`: an administrator is let in again, while nothing else has the store, and nobody else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from euca_rpc.clock import HOUR, MINUTE, SystemClock
from euca_rpc.cloud import accounts, links
from euca_rpc.cloud.changes import Outcome, Put, Remove
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.signup import FIRST_LOGIN
from euca_rpc.cloud.store import Store
from euca_rpc.config import Config, load
from euca_rpc.ids import SeededIds
from euca_rpc.types import UserStatus
from euca_rpc.wire.contracts import ADMIN
from euca_rpc.wire.identity import Identity
from euca_rpc.wire.names import PeerName
from euca_rpc.wire.pki import Authority


def euca(home: Path, *words: str, code: int = 0) -> Any:
    """The real command's document, or what it refused."""
    command = [sys.executable, "-m", "euca_rpc.cli.main", *words, "--home", str(home), "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "EUCA_HOME"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    told = json.loads(done.stdout)
    return told["error"]["symbol"] if code else told


class Offline:
    """The database of a home while no cloud controller runs."""

    def __init__(self, config: Config) -> None:
        self.store = Store(config.database)
        self.journal = Journal(self.store, open_view(self.store, 0), SystemClock())

    def __enter__(self) -> Offline:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def user(self, name: str) -> Any:
        return accounts.find_user(self.journal.view, name)

    def put(self, *changes: Any) -> None:
        self.journal.do(lambda view, now: Outcome(changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("rescue") / "home"
    euca(home, "init", "--port", "31000")
    with Offline(load(home, environ={})) as offline:
        for name, is_admin in (("bob", False), ("second", True)):
            offline.journal.do(accounts.add_user("test", SeededIds(name), name, is_admin=is_admin))
    return home


@pytest.fixture
def config(made: Path, tmp_path: Path) -> Config:
    shutil.copytree(made, tmp_path / "home")
    return load(tmp_path / "home", environ={})


def serials(config: Config) -> tuple[int, frozenset[int]]:
    """Of the administrator's certificate, and all that are revoked."""
    return Identity.load(config.identity(ADMIN)).own.serial, Authority.load(config.ca).revoked()


def test_a_lost_certificate_is_made_again_and_the_old_one_revoked(config: Config) -> None:
    lost, _ = serials(config)
    shutil.rmtree(config.identity(ADMIN))
    told = euca(config.home, "rescue", "admin")
    found, revoked = serials(config)
    assert lost in revoked
    assert found not in revoked
    assert Identity.load(config.identity(ADMIN)).peer == PeerName(ADMIN)
    assert told["certificate"] == str(config.identity(ADMIN))
    assert (config.identity(ADMIN) / "key.pem").stat().st_mode & 0o077 == 0
    again, revoked = (euca(config.home, "rescue", "second"), Authority.load(config.ca).revoked())
    assert again["user"] == "second"
    assert Identity.load(config.identity(ADMIN)).peer == PeerName(ADMIN, "second")
    assert found not in revoked, "nobody else's certificate is"


def test_before_the_first_steps_there_is_another_code(config: Config) -> None:
    with Offline(config) as offline:
        before = offline.journal.view.settings[FIRST_LOGIN]
    told = euca(config.home, "rescue", "admin")
    assert len(told["one_time_code"]) == 20
    assert told["portal"] == "https://127.0.0.1:31001/login"
    with Offline(config) as offline:
        assert offline.journal.view.settings[FIRST_LOGIN] != before
        assert not offline.journal.view.links
    assert told["one_time_code"].encode() not in config.database.read_bytes()
    assert "token=" in euca(config.home, "rescue", "second")["portal"], (
        "the code is the first administrator's"
    )


def test_afterwards_a_link_lets_choose_another_password_for_an_hour(config: Config) -> None:
    with Offline(config) as offline:
        admin = offline.user("admin")
        offline.put(
            Remove(offline.journal.view.settings[FIRST_LOGIN]),
            Put(replace(admin, status=UserStatus.DISABLED)),
        )
    told = euca(config.home, "rescue", "admin")
    address = urlsplit(told["portal"])
    assert (address.netloc, address.path) == ("127.0.0.1:31001", "/password")
    (token,) = parse_qs(address.query)["token"]
    with Offline(config) as offline:
        view, now = offline.journal.view, SystemClock().wall()
        found = links.find(view, links.RECOVER, token, now)
        assert found is not None
        assert links.user_of(found) == admin.id
        assert links.find(view, links.RECOVER, token, now + HOUR - 2 * MINUTE) is not None
        assert links.find(view, links.RECOVER, token, now + HOUR) is None
        assert offline.user("admin").enabled
        assert [e.actor for e in offline.store.events(admin.id, "user.rescued")] == ["rescue"]


@pytest.mark.parametrize(("name", "symbol"), [("bob", "denied"), ("nobody", "user_not_found")])
def test_nobody_but_an_administrator_is_rescued(config: Config, name: str, symbol: str) -> None:
    before = serials(config)
    assert euca(config.home, "rescue", name, code=1) == symbol
    assert serials(config) == before


def test_nothing_is_done_while_a_cloud_controller_has_the_store(config: Config) -> None:
    before = serials(config)
    with Offline(config) as running:
        setting = running.journal.view.settings[FIRST_LOGIN]
        assert euca(config.home, "rescue", "admin", code=1) == "state_conflict"
        assert running.store.one(type(setting), FIRST_LOGIN) == setting
    assert serials(config) == before


def test_a_home_without_a_cloud_is_named(tmp_path: Path) -> None:
    assert euca(tmp_path, "rescue", "admin", code=2) == "config_invalid"
