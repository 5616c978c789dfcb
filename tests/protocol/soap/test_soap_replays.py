"""What is remembered of used signatures: written before anything is done, also after a crash, and never too much."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from soap_letters import compose, create_key, identity
from soap_scene import genuine

from euca_ec2 import replay
from euca_ec2.replay import HEAD, RECORD, Boot, Replays, this_boot
from euca_ec2.wssecurity import SKEW
from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.errors import EucaError

NOW = 1_795_000_000 * SECOND
SOON = NOW + 5 * MINUTE


@pytest.fixture
def opened(tmp_path):
    made = []

    def make(now=NOW, boot=Boot("this", NOW - HOUR), **settings):
        made.append(Replays(tmp_path / "state", now, boot, **settings))
        return made[-1]

    yield make
    for it in made:
        it.close()


def size(tmp_path) -> int:
    return (tmp_path / "state" / "signatures").stat().st_size


def test_once_and_never_again(opened):
    replays = opened()
    assert replays.take(b"a", NOW, SOON, NOW)
    assert not replays.take(b"a", NOW, SOON, NOW)
    assert not replays.take(b"a", NOW, SOON, SOON - 1)
    assert replays.take(b"b", NOW, SOON, NOW)


def test_across_restarts(opened, tmp_path):
    opened().take(b"a", NOW, SOON, NOW)  # never closed: the process was killed
    second = opened()
    assert not second.take(b"a", NOW, SOON, NOW)
    assert second.take(b"b", NOW, SOON, NOW)
    third = opened()
    assert not third.take(b"a", NOW, SOON, NOW)
    assert not third.take(b"b", NOW, SOON, NOW)
    assert size(tmp_path) == HEAD + 2 * RECORD


def test_written_before_it_is_said_and_kept_when_killed(opened, tmp_path):
    """Another process notes one and is killed in the middle of the next instruction."""
    program = (
        "import os, signal; from pathlib import Path; from euca_ec2.replay import Replays\n"
        f"first = Replays(Path({str(tmp_path / 'state')!r}), {NOW}).take(b'a', {NOW}, {SOON}, {NOW})\n"
        "os.kill(os.getpid(), signal.SIGKILL) if first else None"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not opened(boot=this_boot(NOW)).take(b"a", NOW, SOON, NOW)


def test_a_restart_of_the_host_is_not_trusted(opened, tmp_path):
    """Its last records may be lost: what was created before it, by a clock that may be ahead, is refused by its age."""
    opened().take(b"a", NOW, SOON, NOW)
    began = NOW + 30 * SECOND
    now = began + 20 * SECOND
    replays = opened(now, boot=Boot("another", began))
    for created in (NOW, began, began + SKEW, began + SKEW + SECOND):
        assert not replays.take(b"a", created, created + 5 * MINUTE, now)
        assert not replays.take(b"never seen", created, created + 5 * MINUTE, now)
    assert replays.take(b"b", began + SKEW + 2 * SECOND, SOON, now + MINUTE)
    # … and so it stays when the daemon is started again under the same boot.
    again = opened(now, boot=Boot("another", began))
    assert not again.take(b"a", NOW, SOON, now)
    assert not again.take(b"b", began + SKEW + 2 * SECOND, SOON, now + MINUTE)


@pytest.mark.parametrize("left", ["", "nothing", "zeros", "half a head"])
def test_a_file_that_a_lost_host_left_is_not_believed(left, opened, tmp_path):
    began = NOW - MINUTE
    path = tmp_path / "state" / "signatures"
    if left:
        opened(boot=Boot("one", began - MINUTE)).take(b"a", NOW, SOON, NOW)
        path.write_bytes({"nothing": b"", "zeros": bytes(400), "half a head": path.read_bytes()[:16]}[left])
    replays = opened(boot=Boot("two", began))
    assert not replays.take(b"b", began + SKEW, SOON, NOW)
    assert replays.take(b"b", began + SKEW + 2 * SECOND, SOON, NOW)


def test_this_boot():
    now = time.time_ns() // 1000
    boot = this_boot(now)
    assert re.fullmatch(r"[0-9a-f-]{36}", boot.id)
    assert boot.id == this_boot(now + 5).id
    assert 0 < boot.began < now


@pytest.mark.parametrize("torn", range(1, RECORD))
def test_a_torn_record_was_not_executed(torn, opened, tmp_path):
    opened().take(b"a", NOW, SOON, NOW)
    path = tmp_path / "state" / "signatures"
    path.write_bytes(path.read_bytes() + b"x" * torn)
    replays = opened()
    assert not replays.take(b"a", NOW, SOON, NOW)
    assert replays.take(b"b", NOW, SOON, NOW)
    assert not opened().take(b"b", NOW, SOON, NOW)


def test_a_full_disk_refuses_and_spoils_nothing(opened, monkeypatch, tmp_path):
    replays = opened()
    replays.take(b"a", NOW, SOON, NOW)
    with monkeypatch.context() as full:
        write = os.pwrite
        full.setattr(os, "pwrite", lambda file, data, at: write(file, data[:7], at))
        with pytest.raises(EucaError, match="cannot note that this message was used") as caught:
            replays.take(b"b", NOW, SOON, NOW)
    assert caught.value.symbol == "unavailable"
    assert str(tmp_path) not in caught.value.sentence
    assert replays.take(b"c", NOW, SOON, NOW)
    again = opened()
    assert not again.take(b"a", NOW, SOON, NOW)
    assert not again.take(b"c", NOW, SOON, NOW)
    assert again.take(b"b", NOW, SOON, NOW)  # it was refused, so it may come again


def test_what_expired_is_forgotten(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "FEWEST", 100)
    replays = opened()
    now = NOW
    for number in range(2000):
        now += SECOND
        assert replays.take(b"%d" % number, now, now + 30 * SECOND, now)
    assert size(tmp_path) <= HEAD + 110 * RECORD
    assert not replays.take(b"1999", now, now + 30 * SECOND, now)
    assert sorted(os.listdir(tmp_path / "state")) == ["signatures"]
    assert not opened(now).take(b"1999", now, now + 30 * SECOND, now)
    assert opened(now + MINUTE).take(b"1999", now + MINUTE, now + 2 * MINUTE, now + MINUTE)
    assert size(tmp_path) <= HEAD + RECORD


def test_never_more_than_the_limit(opened, tmp_path):
    replays = opened(most=50)
    for number in range(50):
        assert replays.take(b"%d" % number, NOW, SOON, NOW)
    for number in range(50, 60):
        with pytest.raises(EucaError, match="50 signed messages are still valid") as caught:
            replays.take(b"%d" % number, NOW, SOON, NOW)
        assert caught.value.symbol == "throttled"
    assert not replays.take(b"7", NOW, SOON, NOW)  # a replay is still known as one
    assert replays.take(
        b"new", NOW, SOON + 5 * MINUTE, SOON + 1
    )  # when the others have expired there is room
    assert size(tmp_path) == HEAD + RECORD


def test_of_many_at_once_one_is_first(opened):
    replays, won, gate = opened(), [], threading.Barrier(8)

    def run():
        gate.wait(5)
        for number in range(50):
            if replays.take(b"%d" % number, NOW, SOON, NOW):
                won.append(number)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(won) == list(range(50))


def test_nobody_else_can_read_them(opened, tmp_path):
    opened().take(b"a", NOW, SOON, NOW)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert (tmp_path / "state" / "signatures").stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EucaError, match="Name another 'state_directory'") as caught:
        Replays(tmp_path / "file" / "state", NOW)
    assert caught.value.symbol == "config_invalid"


def test_a_full_disk_is_a_fault_and_executes_nothing(scenes, monkeypatch):
    scene = scenes(genuine("own"))

    def broken(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", broken)
        answer = scene.send(scene.genuine.message)
    assert b"<faultcode>Server.Unavailable</faultcode>" in answer.body
    assert b"space" not in answer.body
    assert scene.executed == []


def test_a_refused_message_leaves_nothing_behind(scenes):
    scene = scenes(genuine("own"))
    path = scene.state / "signatures"
    for name in ("mallory", "eve"):
        scene.send(compose(identity(name), create_key("evil"), scene.now).bytes())
    assert path.stat().st_size == HEAD
    scene.send(scene.genuine.message)
    assert path.stat().st_size == HEAD + RECORD
