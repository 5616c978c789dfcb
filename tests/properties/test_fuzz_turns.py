"""A few thousand turns of `make fuzz` with a seeded dice, and what its judge is worth: each planted fault is found."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from euca_ec2 import endpoint, server, signing, wssecurity
from fuzz.corpus import SOCKET
from fuzz.mutation import torn
from fuzz.turn import Fuzzer, Violation, rolled

ROOT = Path(__file__).resolve().parents[2]
TURNS = 3000
FEW = 1500  # within which a planted fault is found; most take fewer than a hundred


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    made = Fuzzer(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


def test_turns(fuzzer):
    dice = random.Random(20)
    change = torn(dice)
    for _ in range(TURNS):
        fuzzer.turn(rolled(fuzzer, dice, change))
    fuzzer.alive()
    assert fuzzer.executed > TURNS / 20  # so most of the program is reached
    assert len(fuzzer.targets) >= 10
    assert sum(count for name, count in fuzzer.targets.items() if "socket" in name) > TURNS / 20


def violation(fuzzer, seed=1, through=None) -> str:
    """What the judge says first, or "" if it says nothing."""
    dice = random.Random(seed)
    change = torn(dice)
    for _ in range(FEW):
        data = rolled(fuzzer, dice, change)
        try:
            fuzzer.turn(data if through is None else bytes([data[0] | through]) + data[1:])
        except Violation as found:
            return str(found)
    return ""


def signatures_are_not_compared(patch):
    real = signing._proven
    patch.setattr(signing, "_proven", lambda credential, right, key: real(credential, True, key))


def digests_are_not_compared(patch):
    patch.setattr(wssecurity, "referenced", wssecurity.resolved)


def the_parser_fails(patch):
    def failing(kind):
        def parse(parameters):
            raise KeyError("InstanceId")

        return parse

    patch.setattr(endpoint, "parser", failing)


def errors_tell_all(patch):
    patch.setattr(endpoint, "sentence_of", lambda error, id: repr(error))


def a_code_of_its_own(patch):
    patch.setattr(endpoint, "code_of", lambda error: ("SomethingElse", 400))


def everything_is_our_fault(patch):
    patch.setattr(endpoint, "code_of", lambda error: ("InvalidParameterValue", 500))


def answers_are_no_xml(patch):
    patch.setattr(endpoint, "escaped", lambda text: f"<{text}")


def the_server_fails(patch):
    patch.setattr(server, "_date", lambda second: [][second])


PLANTED = {
    signatures_are_not_compared: "without its owner's signature",
    digests_are_not_compared: "without its owner's signature",
    the_parser_fails: "in the log of euca.ec2: KeyError",
    errors_tell_all: "'Error(' in an answer",
    a_code_of_its_own: "code 'SomethingElse'",
    everything_is_our_fault: "with status 500",
    answers_are_no_xml: "no XML",
    the_server_fails: "in the log of euca.http",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant, fuzzer, monkeypatch):
    through = SOCKET if plant is the_server_fails else None
    with monkeypatch.context() as patch:
        plant(patch)
        assert PLANTED[plant] in violation(fuzzer, through=through).partition("\n")[0]
    fuzzer.listener.heard.clear()


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="there is no wheel of Atheris for this machine"
)
def test_the_long_run_starts_and_tells_its_figures(tmp_path):
    results = tmp_path / "figures.json"
    ran = subprocess.run(
        [sys.executable, "-m", "fuzz", "--requests", "400", "--results", results, "--found", tmp_path / "found"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(results.read_text())
    assert told["requests"] >= 400
    assert told["coverage"]["edges"] > 1000
    assert told["violations"] == {}
