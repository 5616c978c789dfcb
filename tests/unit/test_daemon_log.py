"""A daemon's log: access lines wait a moment for company, everything else is written at once, nothing is lost."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import time

import pytest

from euca_rpc.daemons import log as logs


@pytest.fixture
def written():
    stream = io.StringIO()
    handler = logs.Handler(stream)
    handler.setFormatter(logs.Lines("cloud"))
    logger = logging.Logger("test")
    logger.addHandler(handler)

    def say(name: str, level: int, text: str) -> None:
        logger.handle(logging.LogRecord(name, level, "", 0, text, (), None))

    yield stream, handler, say
    handler.close()


def test_access_lines_are_written_within_a_moment(written):
    stream, _, say = written
    say("euca.ec2.access", logging.INFO, "first")
    say("euca.ec2.access", logging.INFO, "second")
    assert "first" not in stream.getvalue()
    until = time.monotonic() + 5
    while "second" not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.02)
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["first", "second"]


def test_other_records_are_written_at_once_and_in_order(written):
    stream, _, say = written
    say("euca.ec2.access", logging.INFO, "first")
    say("euca.cloud", logging.INFO, "second")
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["first", "second"]


def test_nothing_is_lost_at_the_end(written):
    stream, handler, say = written
    say("euca.ec2.access", logging.INFO, "last")
    handler.flush()  # what logging.shutdown calls
    assert "last" in stream.getvalue()


TALKS = """
import logging, os, sys, time
from pathlib import Path
from euca_rpc.daemons import log as logs
from euca_rpc.daemons.rotation import Rotation
logs.STRAY_S = 0.05
logs.begin("cloud", rotation=Rotation(10_000, {files}, Path({home!r})))
for n in range(1000):
    logging.getLogger("x").info("line %04d of a daemon", n)
print("printed to standard output", flush=True)
for n in range({stray}):
    os.write(2, b"stray %04d from a library in C, which knows no logging\\n" % n)
    time.sleep(0.001)
"""


def talk(home, name="cloud.log", files=3, stray=0, limit=True):
    log = home / name
    with log.open("ab") as out:
        code = TALKS.format(files=files, home=str(home if limit else home / "elsewhere"), stray=stray)
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=out, check=True, timeout=30)
    return sorted(home.glob(f"{name}*"))


def test_a_log_stays_below_its_limit_and_the_newest_lines_are_in_the_newest_file(tmp_path):
    files = talk(tmp_path)
    assert [file.name for file in files] == ["cloud.log", "cloud.log.1", "cloud.log.2"]
    assert all(file.stat().st_size < 10_200 for file in files)
    text = "".join(file.read_text() for file in reversed(files))
    numbers = [int(line.split("line ")[1][:4]) for line in text.splitlines() if "line " in line]
    assert numbers == list(range(numbers[0], 1000)), "nothing is lost between two files"
    assert "printed to standard output" in files[0].read_text()
    assert talk(tmp_path, "one.log", files=1) == [tmp_path / "one.log"]


def test_what_does_not_come_from_logging_is_bounded_too(tmp_path):
    files = talk(tmp_path, stray=1500)
    assert all(file.stat().st_size < 30_000 for file in files)
    assert "stray 1499" in files[0].read_text() + files[1].read_text()


def test_somebody_elses_file_is_left_alone(tmp_path):
    (file,) = talk(tmp_path, limit=False)
    assert file.stat().st_size > 50_000
