"""The loop that drives a controller, and what a daemon's log line holds."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from euca_rpc.clock import SECOND, SystemClock
from euca_rpc.config import load
from euca_rpc.daemons import node, pids
from euca_rpc.daemons.log import Lines
from euca_rpc.daemons.loop import Loop
from euca_rpc.errors import EucaError


class Steps:
    """A controller whose steps are given."""

    def __init__(self, step: Callable[[int], int | None]) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.count = 0
        self._step = step

    def step(self) -> int | None:
        self.count += 1
        return self._step(self.count)


def drive(steps: Steps) -> tuple[Loop, threading.Thread]:
    loop = Loop(steps, SystemClock())
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    return loop, thread


def until(what: Callable[[], bool], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)


def test_a_step_runs_when_it_is_due_or_woken_and_not_before() -> None:
    clock = SystemClock()
    steps = Steps(lambda n: clock.now() + SECOND // 5 if n == 1 else None)
    loop, thread = drive(steps)
    time.sleep(0.1)
    assert steps.count == 1
    until(lambda: steps.count == 2)
    time.sleep(0.1)
    assert steps.count == 2  # nothing is due any more
    steps.wake()
    until(lambda: steps.count == 3)
    loop.end()
    thread.join(2)
    assert not thread.is_alive()


def test_a_wake_during_a_step_is_not_lost() -> None:
    steps = Steps(lambda n: steps.wake() if n == 1 else None)
    loop, thread = drive(steps)
    until(lambda: steps.count == 2)
    loop.end()
    thread.join(2)


def test_a_step_that_raises_ends_the_loop_with_its_error() -> None:
    def broken(n: int) -> int | None:
        raise ValueError("half a view")

    with pytest.raises(ValueError, match="half a view"):
        Loop(Steps(broken), SystemClock()).run()


def test_a_log_line_has_time_daemon_level_request_and_a_private_note_only_there() -> None:
    try:
        raise EucaError("internal", "it failed", private="the disk said no")
    except EucaError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "tried %s", ("it",), sys.exc_info())
    record.request_id = "req-1"
    line = Lines("cloud").format(record)
    assert re.match(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z cloud ERROR \[req-1\] tried it \(private: the disk said no\)\n", line
    )
    assert "private" not in str(record.exc_info and record.exc_info[1])


@pytest.mark.parametrize(
    ("kind", "maker"),
    [
        ("simulated", "simulated"),
        ("test", "test:///default"),
        ("xen", "xen:///system"),
        ("kvm", "qemu:///system"),
    ],
)
def test_what_runs_the_machines_follows_from_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, maker: str
) -> None:
    monkeypatch.delenv("EUCA_HOST_DIRECTORY", raising=False)
    assert node.machine_maker(load(tmp_path, {"node.hypervisor": kind}, {})) == maker


def test_inside_a_host_the_node_talks_to_that_hosts_libvirt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EUCA_HOST_DIRECTORY", str(tmp_path))
    config = load(tmp_path, {"node.hypervisor": "qemu"}, {})
    assert node.machine_maker(config) == f"qemu+unix:///system?socket={tmp_path}/run/libvirt-sock"


def test_ratios_reserves_and_overrides_reach_the_offer(tmp_path: Path) -> None:
    config = load(tmp_path, {"node.cores": 64, "node.memory_ratio": 1.5, "node.reserve_disk_gb": 7}, {})
    offer = node.offer(config)
    assert (offer.cores, offer.memory_mb, offer.memory_ratio, offer.reserve_disk_gb) == (64, None, 1.5, 7)


def test_the_beginning_of_a_process_is_read_past_any_name(tmp_path: Path) -> None:
    began = pids.began(1)
    assert began is not None
    assert began.isdecimal()
    assert pids.began(2**22 + 1) is None
