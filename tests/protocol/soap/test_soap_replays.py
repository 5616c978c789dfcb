"""What is remembered of used signatures: on the disk before anything is done, also after a crash, and never too much."""

from __future__ import annotations

import os
import threading

import pytest
from soap_letters import compose, create_key, identity
from soap_scene import genuine

from euca_ec2 import replay
from euca_ec2.replay import RECORD, Replays
from euca_rpc.clock import MINUTE, SECOND
from euca_rpc.errors import EucaError

NOW = 1_795_000_000 * SECOND
SOON = NOW + 5 * MINUTE


@pytest.fixture
def opened(tmp_path):
    made = []

    def make(now=NOW, **settings):
        made.append(Replays(tmp_path / "state", now, **settings))
        return made[-1]

    yield make
    for it in made:
        it.close()


def size(tmp_path) -> int:
    return (tmp_path / "state" / "signatures").stat().st_size


def test_once_and_never_again(opened):
    replays = opened()
    assert replays.take(b"a", SOON, NOW)
    assert not replays.take(b"a", SOON, NOW)
    assert not replays.take(b"a", SOON, SOON - 1)
    assert replays.take(b"b", SOON, NOW)


def test_across_restarts(opened, tmp_path):
    opened().take(b"a", SOON, NOW)  # never closed: the process was killed
    second = opened()
    assert not second.take(b"a", SOON, NOW)
    assert second.take(b"b", SOON, NOW)
    third = opened()
    assert not third.take(b"a", SOON, NOW)
    assert not third.take(b"b", SOON, NOW)
    assert size(tmp_path) == 2 * RECORD


def test_on_the_disk_before_it_is_said(opened, monkeypatch):
    done = []
    replays = opened()
    sync, write = os.fdatasync, os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda *given: done.append("write") or write(*given))
    monkeypatch.setattr(os, "fdatasync", lambda file: done.append("sync") or sync(file))
    assert replays.take(b"a", SOON, NOW)
    assert done == ["write", "sync"]


@pytest.mark.parametrize("torn", range(1, RECORD))
def test_a_torn_record_was_not_executed(torn, opened, tmp_path):
    opened().take(b"a", SOON, NOW)
    path = tmp_path / "state" / "signatures"
    path.write_bytes(path.read_bytes() + b"x" * torn)
    replays = opened()
    assert not replays.take(b"a", SOON, NOW)
    assert replays.take(b"b", SOON, NOW)
    assert not opened().take(b"b", SOON, NOW)


def test_a_full_disk_refuses_and_spoils_nothing(opened, monkeypatch, tmp_path):
    replays = opened()
    replays.take(b"a", SOON, NOW)
    with monkeypatch.context() as full:
        write = os.pwrite
        full.setattr(os, "pwrite", lambda file, data, at: write(file, data[:7], at))
        with pytest.raises(EucaError, match="cannot note that this message was used") as caught:
            replays.take(b"b", SOON, NOW)
    assert caught.value.symbol == "unavailable"
    assert str(tmp_path) not in caught.value.sentence
    assert replays.take(b"c", SOON, NOW)
    again = opened()
    assert not again.take(b"a", SOON, NOW)
    assert not again.take(b"c", SOON, NOW)
    assert again.take(b"b", SOON, NOW)  # it was refused, so it may come again


def test_a_failed_sync_refuses_too(opened, monkeypatch):
    replays = opened()

    def broken(file):
        raise OSError("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(EucaError):
            replays.take(b"a", SOON, NOW)
    assert replays.take(b"a", SOON, NOW)


def test_what_expired_is_forgotten(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "FEWEST", 100)
    replays = opened()
    now = NOW
    for number in range(2000):
        now += SECOND
        assert replays.take(b"%d" % number, now + 30 * SECOND, now)
    assert size(tmp_path) <= 110 * RECORD
    assert not replays.take(b"1999", now + 30 * SECOND, now)
    assert sorted(os.listdir(tmp_path / "state")) == ["signatures"]
    assert not opened(now).take(b"1999", now + 30 * SECOND, now)
    assert opened(now + MINUTE).take(b"1999", now + 2 * MINUTE, now + MINUTE)
    assert size(tmp_path) <= RECORD


def test_never_more_than_the_limit(opened, tmp_path):
    replays = opened(most=50)
    for number in range(50):
        assert replays.take(b"%d" % number, SOON, NOW)
    for number in range(50, 60):
        with pytest.raises(EucaError, match="50 signed messages are still valid") as caught:
            replays.take(b"%d" % number, SOON, NOW)
        assert caught.value.symbol == "throttled"
    assert not replays.take(b"7", SOON, NOW)  # a replay is still known as one
    assert replays.take(b"new", SOON + 5 * MINUTE, SOON + 1)  # when the others have expired there is room
    assert size(tmp_path) == RECORD


def test_of_many_at_once_one_is_first(opened):
    replays, won, gate = opened(), [], threading.Barrier(8)

    def run():
        gate.wait(5)
        for number in range(50):
            if replays.take(b"%d" % number, SOON, NOW):
                won.append(number)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(won) == list(range(50))


def test_nobody_else_can_read_them(opened, tmp_path):
    opened().take(b"a", SOON, NOW)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert (tmp_path / "state" / "signatures").stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EucaError, match="Name another 'state_directory'") as caught:
        Replays(tmp_path / "file" / "state", NOW)
    assert caught.value.symbol == "config_invalid"


def test_a_full_disk_is_a_fault_and_executes_nothing(scenes, monkeypatch):
    scene = scenes(genuine("own"))

    def broken(file):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        answer = scene.send(scene.genuine.message)
    assert b"<faultcode>Server.Unavailable</faultcode>" in answer.body
    assert b"space" not in answer.body
    assert scene.executed == []


def test_a_refused_message_leaves_nothing_behind(scenes):
    scene = scenes(genuine("own"))
    path = scene.state / "signatures"
    for name in ("mallory", "eve"):
        scene.send(compose(identity(name), create_key("evil"), scene.now).bytes())
    assert path.stat().st_size == 0
    scene.send(scene.genuine.message)
    assert path.stat().st_size == RECORD
