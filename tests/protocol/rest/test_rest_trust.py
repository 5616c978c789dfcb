"""Who is let in, how long, and what is told to whom is not."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from euca_rest import euca_interface, problems
from euca_rest.settings import RestSettings, read
from euca_rest.tokens import Bearers, Signer
from euca_rpc.clock import MINUTE, SECOND, ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller

ANN = Caller("u-ann", "ann", "222222222222", False)


class Shelf:
    def __init__(self) -> None:
        self.rows = {"AKANN": Credential(ANN, "s" * 40), "AKBOB": Credential(ANN, "b" * 40)}
        self.asked: list[str] = []

    def by_access_key(self, access_key_id: str) -> Credential | None:
        self.asked.append(access_key_id)
        return self.rows.get(access_key_id)

    def by_certificate(self, der: bytes) -> Caller | None:
        return None


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bearers(shelf: Shelf, clock: ManualClock) -> Bearers:
    return Bearers(b"k" * 32, shelf, clock.wall, 900)


def refused(bearers: Bearers, authorization: str | None) -> str:
    with pytest.raises(EucaError) as error:
        bearers.caller(authorization)
    return error.value.symbol


def test_a_token_is_good_for_fifteen_minutes(bearers: Bearers, clock: ManualClock) -> None:
    token, until, _ = bearers.issue("AKANN", "s" * 40)
    assert until == clock.at + 15 * MINUTE
    clock.advance(15 * MINUTE - SECOND)
    assert bearers.caller(f"Bearer {token}") == (ANN, "AKANN")
    assert bearers.caller(f"bearer {token}") == (ANN, "AKANN")
    clock.advance(SECOND)
    assert refused(bearers, f"Bearer {token}") == "request_expired"


def test_unknown_and_wrong_are_refused_in_the_same_words(bearers: Bearers) -> None:
    sentences = set()
    for key, secret in (("AKANN", "x"), ("AKANN", ""), ("AKNOBODY", "s" * 40), ("AKANN", "s" * 39 + "é")):
        with pytest.raises(EucaError) as error:
            bearers.issue(key, secret)
        assert error.value.symbol == "auth_failure"
        sentences.add(error.value.sentence)
    assert len(sentences) == 1


def test_a_revoked_key_ends_its_tokens_at_once(bearers: Bearers, shelf: Shelf) -> None:
    token, _, _ = bearers.issue("AKANN", "s" * 40)
    row = shelf.rows.pop("AKANN")
    assert refused(bearers, f"Bearer {token}") == "auth_failure"
    shelf.rows["AKANN"] = Credential(row.caller, "t" * 40)  # the same key with another secret is another key
    assert refused(bearers, f"Bearer {token}") == "auth_failure"


def test_no_token_can_be_made_up(bearers: Bearers, shelf: Shelf, clock: ManualClock) -> None:
    token, until, _ = bearers.issue("AKANN", "s" * 40)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    mac, text = raw[:32], raw[32:]
    told = json.loads(text)
    assert "s" * 40 not in text.decode()
    encoded = lambda value: base64.urlsafe_b64encode(value).decode().rstrip("=")
    forged = [
        encoded(mac + json.dumps(["AKBOB", *told[1:]], separators=(",", ":")).encode()),
        encoded(mac + json.dumps([*told[:2], until + SECOND], separators=(",", ":")).encode()),
        encoded(text),
        encoded(bytes(32) + text),
        encoded(mac),
        encoded(mac[:16] + text),
        token[:-1],
        token + "AAAA",
        "=" + token,
        "é",
        "",
        Signer(b"K" * 32, "bearer").sign(told),  # another process's
        Signer(b"k" * 32, "page").sign(told),  # this one's, for something else
    ]
    asked = len(shelf.asked)
    for one in forged:
        assert refused(bearers, f"Bearer {one}") == "auth_failure", one
    assert len(shelf.asked) == asked, "nothing in a forged token was looked at"
    for header in (None, "", token, f"Basic {token}", f"Token {token}", "Bearer"):
        assert refused(bearers, header) == "auth_failure"


# -------------------------------------------------------------------------------------------- over the wire
def test_a_cookie_is_never_accepted(scene: Any) -> None:
    token = scene.token("ann")
    for cookie in (f"token={token}", f"Authorization=Bearer {token}", f"session={token}", token):
        answer = scene.ask("GET", "/v1/instances", Cookie=cookie)
        assert (answer.status, answer.problem) == (401, "auth_failure")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    let_in = scene.ask("GET", "/v1/instances", by="ann", Cookie="token=other")
    assert let_in.status == 200
    assert "set-cookie" not in let_in.headers
    assert not [name for name in let_in.headers if name.startswith("access-control")]


def test_a_token_is_not_taken_from_anywhere_else(scene: Any) -> None:
    token = scene.token("ann")
    assert scene.ask("GET", f"/v1/instances?access_token={token}").status == 401
    for header in ("X_Auth_Token", "X_Api_Key", "Proxy_Authorization"):
        assert scene.ask("GET", "/v1/instances", **{header: f"Bearer {token}"}).status == 401
    key, secret = scene.keys["ann"]
    basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
    assert scene.ask("GET", "/v1/instances", Authorization=f"Basic {basic}").status == 401


def test_every_path_but_two_needs_a_token(scene: Any) -> None:
    for path, methods in scene.ask("GET", "/v1/openapi.json").json["paths"].items():
        for method in methods:
            filled = path.replace("{id}", "i-12345678").replace("{name}", "x")
            answer = scene.ask(method.upper(), filled)
            open_ = path in ("/v1/tokens", "/v1/openapi.json")
            assert (answer.status == 401) == (not open_), (method, path, answer.raw)


def test_a_disabled_or_deleted_key_is_refused_at_once(make_scene: Any) -> None:
    scene = make_scene()
    credentials, admin = scene.world.cloud.core.credentials, scene.world.admin
    key, secret = scene.keys["ann"]
    assert scene.ask("GET", "/v1/zones", by="ann").status == 200
    for end in (
        lambda: credentials.enable_key(admin, key, False),
        lambda: credentials.delete_key(admin, key),
    ):
        end()
        assert scene.ask("GET", "/v1/zones", by="ann").problem == "auth_failure"
        again = scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": secret})
        assert (again.status, again.problem) == (401, "auth_failure")
        if key in scene.world.view.access_keys:  # back again: its tokens are, too
            credentials.enable_key(admin, key, True)
            assert scene.ask("GET", "/v1/zones", by="ann").status == 200


def test_a_refusal_does_not_repeat_a_secret(scene: Any) -> None:
    refused = scene.ask("POST", "/v1/tokens", {"access_key_id": "AK", "secret": "hush" * 65})
    assert refused.json["detail"] == "body.secret must be at most 256 long, not 260 bytes."


def test_the_log_tells_who_did_what_and_no_secret(scene: Any, caplog: pytest.LogCaptureFixture) -> None:
    key, secret = scene.keys["ann"]
    with caplog.at_level(logging.DEBUG):
        token = scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": secret}).json["token"]
        scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": f"{secret}x"})
        scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": [secret]})
        seen = scene.ask("GET", f"/v1/zones?limit={secret}", Authorization=f"Bearer {token}")
        data = base64.b64encode(b"very private").decode()
        scene.ask("POST", "/v1/instances", {"image_id": "emi-0badbad0", "user_data": data}, "ann")
        made = scene.ask("POST", "/v1/keys", {"name": "logged", "type": "ed25519"}, "ann").json["private_key"]
    lines = [record.getMessage() for record in caplog.records if record.name == "euca.rest.access"]
    assert any(f"{seen.headers['request-id']} {key} listZones 400 " in line for line in lines), lines
    for private in (secret, token, data, made.splitlines()[1]):
        assert private not in caplog.text


def test_what_went_wrong_inside_is_not_shown(
    scene: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the inside of the cloud")

    token = scene.token("ann")
    monkeypatch.setattr(type(scene.world.cloud.core.zones), "describe", fail)
    answer = scene.ask("GET", "/v1/zones", Authorization=f"Bearer {token}")
    assert (answer.status, answer.problem) == (500, "internal")
    assert b"inside of the cloud" not in answer.raw
    assert "the inside of the cloud" in caplog.text
    assert answer.headers["request-id"] in caplog.text


def test_an_internal_errors_facts_and_sentence_are_not_shown() -> None:
    shown = problems.document(EucaError("internal", "row 7 is torn", facts={"row": 7}), "id")
    assert shown["facts"] == {}
    assert "torn" not in json.dumps(shown)


# --------------------------------------------------------------------------------------------------- settings
def test_secrets_do_not_cross_a_network_in_the_clear(scene: Any) -> None:
    open_to_all = euca_interface(scene.world.cloud.core, {"host": "0.0.0.0", "port": 0})
    with pytest.raises(EucaError) as error:
        open_to_all.start()
    assert error.value.symbol == "config_invalid"
    assert "would send secrets in the clear on 0.0.0.0" in error.value.sentence


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prot": 1}, "did you mean 'port'?"),
        ({"port": "80"}, "must be a int"),
        ({"port": True}, "must be a int"),
        ({"port": -1}, "at least"),
        ({"threads": 0}, "at least"),
        ({"certificate": "a.pem"}, "needs both"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(EucaError) as error:
        read(settings)
    assert said in error.value.sentence


def test_a_port_that_is_taken_is_an_error_of_the_start(scene: Any) -> None:
    second = euca_interface(scene.world.cloud.core, {"port": scene.rest.port})
    with pytest.raises(EucaError) as error:
        second.start()
    assert f"cannot listen on 127.0.0.1:{scene.rest.port}" in error.value.sentence


def test_nothing_is_on_unless_it_is_named() -> None:
    from euca_rpc.config import Config

    assert "rest" not in Config.__dataclass_fields__["cloud"].default_factory().interfaces
    assert RestSettings().host == "127.0.0.1"
