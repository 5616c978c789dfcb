"""A daemon's log: access lines wait a moment for company, everything else is written at once, nothing is lost."""

from __future__ import annotations

import io
import logging
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
