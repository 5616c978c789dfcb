"""Dead daemons come back, ended ones stay ended, and only our own processes are ever sent a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from euca_rpc.daemons import pids
from euca_rpc.daemons.supervisor import Program, Supervisor, describe


def eventually(what, seconds: float = 10.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("it did not come about in time")


@pytest.fixture
def supervised(tmp_path: Path):
    started = []

    def start(*programs: Program) -> Supervisor:
        supervisor = Supervisor(programs, tmp_path, tmp_path)
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        started.append((supervisor, thread))
        return supervisor

    yield start
    for supervisor, thread in started:
        supervisor.end()
        thread.join(20)
        assert not thread.is_alive()


SLEEPS = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


def test_a_killed_daemon_is_started_again_and_its_log_goes_on(supervised, tmp_path: Path) -> None:
    supervised(Program("one", SLEEPS))
    file = tmp_path / "one.pid"
    first = eventually(lambda: pids.living(file))
    eventually(lambda: "up" in (tmp_path / "one.log").read_text())
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: (now := pids.living(file)) and now != first and now)
    assert second != first
    eventually(lambda: (tmp_path / "one.log").read_text().count("up") == 2)


def test_the_pause_grows_for_one_that_keeps_dying(supervised, tmp_path: Path) -> None:
    supervised(Program("bad", (sys.executable, "-c", "print('x', flush=True); raise SystemExit(3)")))
    time.sleep(1.5)
    # at once, after 0.2 s, 0.4 s and 0.8 s: without a growing pause it would be a dozen
    assert 1 <= (tmp_path / "bad.log").read_text().count("x") <= 4


def test_ending_leaves_no_process_and_no_pid_file(supervised, tmp_path: Path) -> None:
    supervisor = supervised(Program("a", SLEEPS), Program("b", SLEEPS))
    living = [eventually(lambda name=name: pids.living(tmp_path / f"{name}.pid")) for name in "ab"]
    supervisor.end()
    eventually(lambda: all(pids.began(pid) is None for pid in living))
    eventually(lambda: not list(tmp_path.glob("*.pid")))


def test_its_own_daemons_end_although_somebody_deleted_the_pid_files(supervised, tmp_path: Path) -> None:
    supervisor = supervised(Program("a", SLEEPS))
    pid = eventually(lambda: pids.living(tmp_path / "a.pid"))
    (tmp_path / "a.pid").unlink()
    supervisor.end()
    eventually(lambda: pids.began(pid) is None)


def test_a_pid_that_belongs_to_another_process_now_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEPS, stdout=subprocess.DEVNULL)
    try:
        file = tmp_path / "old.pid"
        file.write_text(f"{stranger.pid} 1\n")  # same number, another beginning
        assert pids.living(file) is None
        assert pids.end(file, 1) == "was not running"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_counts_as_ended(tmp_path: Path) -> None:
    child = subprocess.Popen((sys.executable, "-c", ""))
    file = tmp_path / "z.pid"
    pids.write(file, child.pid)
    eventually(lambda: pids.living(file) is None)  # not reaped yet
    child.wait()


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen((sys.executable, "-c", deaf), stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    file = tmp_path / "deaf.pid"
    pids.write(file, child.pid)
    assert pids.end(file, 0.3) == "killed"
    assert child.wait(5) == -signal.SIGKILL
    assert describe(-9) == "killed by SIGKILL"


def test_one_that_removes_its_own_pid_file_first_is_still_waited_for(tmp_path: Path) -> None:
    slow = (
        "import os, signal, sys, time\n"
        "def end(*_):\n    os.unlink(sys.argv[1]); time.sleep(0.8); os._exit(0)\n"
        "signal.signal(15, end); print('up', flush=True); time.sleep(60)"
    )
    file = tmp_path / "slow.pid"
    child = subprocess.Popen((sys.executable, "-c", slow, str(file)), stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    pids.write(file, child.pid)
    assert pids.end(file, 5) == "ended"
    assert pids.began(child.pid) is None
    assert child.wait(1) == 0
