"""The example interface and its tutorial: the page's code is the example's, and the example does what the page says."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import re
import socket
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from euca_rpc import hookspecs
from euca_rpc.cloud import accounts
from euca_rpc.errors import EucaError
from euca_rpc.testing.world import IMAGE, World

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "interface-line"
PAGE = (CHECKOUT / "docs" / "writing-an-interface.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def load() -> Any:
    """From the source, as the wheel has it; the story runs the wheel."""
    if "euca_line" not in sys.modules:
        spec = importlib.util.spec_from_file_location("euca_line", EXAMPLE / "euca_line.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["euca_line"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["euca_line"])
    return sys.modules["euca_line"]


# --------------------------------------------------------------------------------------------------- the page
def test_the_pages_code_is_the_example_word_for_word() -> None:
    assert "\n\n".join(blocks("python")) == (EXAMPLE / "euca_line.py").read_text("utf-8")


def test_the_pages_package_is_the_examples() -> None:
    package, settings = blocks("toml")
    assert package == (EXAMPLE / "pyproject.toml").read_text("utf-8")
    assert tomllib.loads(settings)["interface"]["line"] == {"port": 8781}


def test_it_uses_nothing_behind_the_seam() -> None:
    used = set(
        re.findall(r"^from (euca\S*) import (.*)$", (EXAMPLE / "euca_line.py").read_text(), re.MULTILINE)
    )
    assert {module for module, _ in used} == {
        "euca_rpc",
        "euca_rpc.errors",
        "euca_rpc.ids",
        "euca_rpc.nouns",
        "euca_rpc.types",
    }


# -------------------------------------------------------------------------------------------- the example alone
class Place:
    def __init__(self, root: Path) -> None:
        self.world = World(root, "line")
        self.world.history.published = lambda view: None  # type: ignore[method-assign]
        key, self.secret = self.world.cloud.core.credentials.create_key(self.world.admin, "ann")
        self.key = key.id
        self.line = load().euca_interface(self.world.cloud.core, {"port": 0})
        self.line.start()

    def enable(self, enabled: bool) -> None:
        self.world.cloud.journal.do(accounts.enable_user(self.world.admin, "ann", enabled))


class Talk:
    def __init__(self, place: Place) -> None:
        self.socket = socket.create_connection(("127.0.0.1", place.line.port), timeout=10)
        self.file = self.socket.makefile("rwb")
        self.place = place
        self.challenge = self.hear().removeprefix("euca ")

    def hear(self) -> str:
        return self.file.readline().decode().removesuffix("\n")

    def say(self, line: str | bytes) -> str:
        self.file.write(line.encode() + b"\n" if isinstance(line, str) else line)
        self.file.flush()
        return self.hear()

    def hello(self, challenge: str = "", secret: str = "") -> str:
        code = hmac.new(
            (secret or self.place.secret).encode(), (challenge or self.challenge).encode(), hashlib.sha256
        )
        return self.say(f"hello {self.place.key} {code.hexdigest()}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    one = Place(tmp_path_factory.mktemp("line") / "world")
    yield one
    one.line.stop()
    one.world.cloud.store.close()


def test_it_is_an_implementation_of_the_hook() -> None:
    assert hasattr(load().euca_interface, f"{hookspecs.INTERFACE_PROJECT}_impl")


def test_a_proof_is_good_for_its_own_connection(place: Place) -> None:
    first, second = Talk(place), Talk(place)
    assert first.challenge != second.challenge
    assert first.say("instances").startswith("no auth_failure Say 'hello")
    assert first.hello() == "ok ann"
    assert second.hello(first.challenge).startswith("no auth_failure The proof")
    assert second.hello(secret="wrong").startswith("no auth_failure The proof")
    assert second.say("instances").startswith("no auth_failure")
    assert first.say("instances") == "ok"
    assert first.hello(secret="wrong").startswith("no auth_failure")
    assert first.say("instances").startswith("no auth_failure"), (
        "a failed proof ends what an earlier one allowed"
    )


def test_who_is_disabled_is_refused_on_the_same_connection(place: Place) -> None:
    talk = Talk(place)
    assert talk.hello() == "ok ann"
    place.enable(False)
    assert talk.say("instances").startswith("no auth_failure")
    place.enable(True)
    assert talk.say("instances") == "ok"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", "ok"),
        ("lanch emi-1 1", "no action_unknown There is no 'lanch' here; there are launch,"),
        ("__class__", "no action_unknown"),
        ("launch", "no parameter_missing launch takes 2 to 3 words, not 0."),
        ("describe a b", "no parameter_missing"),
        (f"launch {IMAGE} many", "no parameter_invalid The count is 'many'"),
        (f"launch {IMAGE} -1", "no parameter_invalid"),
        (f"launch {IMAGE} 0", "no parameter_invalid"),
        (f"launch {IMAGE} 99999", "no parameter_invalid"),
        (f"launch {IMAGE} 10", "no quota_exceeded"),
        ("describe i-00000000", "no instance_not_found"),
        (b"launch \xff\xfe\x00 1\n", "no image_not_found"),
        ("hello", "no action_unknown"),
    ],
)
def test_refusals_have_a_symbol_and_a_sentence(place: Place, line: str | bytes, answer: str) -> None:
    talk = Talk(place)
    assert talk.hello() == "ok ann"
    assert talk.say(line).startswith(answer)
    assert talk.say("instances") == "ok", "it goes on"


def test_a_line_that_is_too_long_ends_the_connection(place: Place) -> None:
    talk = Talk(place)
    assert talk.say(b"x" * 100_000) == ""
    assert Talk(place).hello() == "ok ann"


def test_slow_clients_hold_up_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.line, "patience", 1.0)
    held = [Talk(place) for _ in range(40)]
    for talk in held:
        talk.socket.sendall(b"he")
    began = time.monotonic()
    assert Talk(place).hello() == "ok ann"
    assert time.monotonic() - began < 1
    for talk in held:
        talk.socket.settimeout(5)
        assert talk.hear() == "", "it was cut"


def test_there_is_a_bound_on_connections(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.line, "most", place.line.talking + 2)
    held = [Talk(place) for _ in range(2)]
    assert Talk(place).challenge == ""
    for talk in held:
        talk.file.close()
        talk.socket.close()


def test_what_goes_wrong_inside_stays_inside(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the inside")

    talk = Talk(place)
    assert talk.hello() == "ok ann"
    monkeypatch.setattr(type(place.world.cloud.core.instances), "describe", fail)
    assert talk.say("instances") == "no internal An internal error occurred; the cloud's log tells it."
    assert "the inside" in caplog.text
    assert place.secret not in caplog.text


@pytest.mark.parametrize(
    "settings", [{"prot": 1}, {"port": "1"}, {"port": True}, {"port": -1}, {"port": 65536}]
)
def test_wrong_settings_are_refused(place: Place, settings: dict[str, Any]) -> None:
    with pytest.raises(EucaError) as refused:
        load().euca_interface(place.world.cloud.core, settings)
    assert refused.value.symbol == "config_invalid"


def test_a_port_that_is_taken_is_an_error_of_the_start(place: Place) -> None:
    with pytest.raises(EucaError, match="cannot listen"):
        load().euca_interface(place.world.cloud.core, {"port": place.line.port}).start()
