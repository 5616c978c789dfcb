"""The log that a node's memory is kept in: what a crash, a power cut, a full or a failing disk leave of it."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.node import log as module
from euca_rpc.node.log import Log


class Died(BaseException):
    pass


def opened(path: Path, crash: Callable[[str], None] = lambda point: None, **initial: Any) -> Log:
    return Log(path / "log", lambda: initial, crash=crash)


def kept(path: Path) -> dict[str, Any]:
    return Log.read(path / "log")


def test_the_last_value_of_each_key_is_in_force(tmp_path: Path) -> None:
    log = opened(tmp_path, a=1, b={"x": "\r\n"})
    log.append("a", 2)
    log.append("c", 3)
    log.append("c", None)
    log.append("never", None)
    log.settle()
    assert log.values() == kept(tmp_path) == opened(tmp_path, a=9).values() == {"a": 2, "b": {"x": "\r\n"}}


def test_a_power_cut_leaves_what_was_settled_and_a_prefix_of_the_rest(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append("settled", 0)
    log.settle()
    for n in range(3):
        log.append(str(n), n)
    data = (tmp_path / "log").read_bytes()
    found = []
    for length in range(log.durable, len(data) + 1):
        (tmp_path / "log").write_bytes(data[:length])
        after = opened(tmp_path)
        found.append(list(after.values()))
        after.append("more", 1)
        after.settle()
        assert list(kept(tmp_path)) == [*found[-1], "more"]
    prefixes = [["settled", "0", "1", "2"][:n] for n in (1, 2, 3, 4)]
    assert [keys for n, keys in enumerate(found) if keys not in found[:n]] == prefixes


def test_pages_that_were_written_out_of_order_are_a_torn_end(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append("settled", 0)
    log.settle()
    log.append("lost", 1)
    lost = range(log.durable, (tmp_path / "log").stat().st_size)
    log.append("written", 2)
    data = bytearray((tmp_path / "log").read_bytes())
    data[lost.start : lost.stop] = bytes(len(lost))
    (tmp_path / "log").write_bytes(data)
    assert opened(tmp_path).values() == {"settled": 0}


@pytest.mark.parametrize("rewritten", [False, True])
def test_what_was_durable_and_cannot_be_read_is_not_passed_over(tmp_path: Path, rewritten: bool) -> None:
    log = opened(tmp_path, a=1, b=2) if rewritten else opened(tmp_path)
    if not rewritten:
        log.append("a", 1)
        log.settle()
        log.append("b", 2)
    data = bytearray((tmp_path / "log").read_bytes())
    first = data.index(b'"value":1')
    data[first + 8] ^= 1
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(EucaError, match="is damaged after byte 0: what was durable up to byte"):
        opened(tmp_path)
    assert (tmp_path / "log").read_bytes() == data


def test_those_who_wait_share_a_sync_and_none_returns_before_its_own(
    tmp_path: Path, monkeypatch: Any
) -> None:
    log = opened(tmp_path)
    real, syncs = os.fdatasync, 0
    broken: list[str] = []

    def slow(handle: int) -> None:
        nonlocal syncs
        syncs += 1
        time.sleep(0.02)
        real(handle)

    def work(n: int) -> None:
        for turn in range(5):
            log.append(f"{n}/{turn}", turn)
            end = (tmp_path / "log").stat().st_size
            log.settle()
            if log.durable < end:  # `end` may hold others' lines, and those may wait for the next sync
                mine = (tmp_path / "log").read_bytes()[: log.durable]
                if f'"{n}/{turn}"'.encode() not in mine:
                    broken.append(f"{n}/{turn}")

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert len(kept(tmp_path)) == 50
    assert syncs < 40, "50 lines"


def test_after_a_failed_sync_the_file_is_written_anew(tmp_path: Path, monkeypatch: Any) -> None:
    log = opened(tmp_path, a=1)
    before = (tmp_path / "log").stat().st_ino

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        patched.setattr(os, "replace", lambda *names: fail(0))
        log.append("b", 2)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                log.settle()
    log.settle()
    assert (tmp_path / "log").stat().st_ino != before
    assert log.durable == (tmp_path / "log").stat().st_size
    log.append("c", 3)
    log.settle()
    assert kept(tmp_path) == {"a": 1, "b": 2, "c": 3}


def test_a_line_that_did_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    log = opened(tmp_path, a=1)
    real = os.pwrite
    before = (tmp_path / "log").read_bytes()

    def full(handle: int, data: Any, at: int) -> int:
        if len(data) <= 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[: len(data) - 20], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            log.append("b", 2)
        assert (tmp_path / "log").read_bytes() == before
        patched.setattr(os, "ftruncate", lambda handle, size: full(handle, b"", 0))
        with pytest.raises(OSError, match="No space left"):
            log.append("b" * 50, 2)
    log.append("c", 3)
    log.settle()
    assert log.values() == kept(tmp_path) == {"a": 1, "c": 3}
    assert opened(tmp_path).values() == {"a": 1, "c": 3}


@pytest.mark.parametrize("point", ["", "log-rewritten", "log-renamed"])
def test_a_long_file_is_shortened_and_dying_meanwhile_loses_nothing(
    tmp_path: Path, monkeypatch: Any, point: str
) -> None:
    log = opened(tmp_path, kept="x")
    monkeypatch.setattr(module, "ROOM", 2000)
    met = []

    def crash(name: str) -> None:
        met.append(name)
        if point == name:
            raise Died

    log._crash = crash
    turn = 0
    try:
        for turn in range(200):
            log.append("n", turn)
            log.settle()
    except Died:
        assert turn < 199
    after = opened(tmp_path)
    assert after.values() == {"kept": "x", "n": turn}
    if not point:
        assert met.count("log-renamed") in range(3, 9)
        assert (tmp_path / "log").stat().st_size < 2000 + 8 * 60
        log.append("n", "more")
        log.settle()
        assert kept(tmp_path) == {"kept": "x", "n": "more"}


def test_a_full_disk_keeps_a_long_file_as_it_is(tmp_path: Path, monkeypatch: Any) -> None:
    log = opened(tmp_path)
    monkeypatch.setattr(module, "ROOM", 500)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        for turn in range(50):
            log.append("n", turn)
            log.settle()
    assert (tmp_path / "log").stat().st_size > 1000
    assert kept(tmp_path) == {"n": 49}
    assert not (tmp_path / "log.new").exists()
    log.append("n", 50)
    log.settle()
    assert (tmp_path / "log").stat().st_size < 100
    assert kept(tmp_path) == {"n": 50}
