"""What people do with the REST interface, on a real cloud controller with simulated nodes."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import pytest

from euca_rpc.cloud import consoles


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.json["items"]]


def test_a_machine_from_launch_to_its_end(make_scene: Any) -> None:
    scene = make_scene()
    key = scene.ask("POST", "/v1/keys", {"name": "mine", "type": "ed25519"}, "ann")
    assert key.status == 201
    assert key.json["private_key"].startswith("-----BEGIN")
    made = scene.ask(
        "POST",
        "/v1/instances",
        {
            "image_id": scene.image,
            "key_name": "mine",
            "user_data": base64.b64encode(b"\0\xff").decode(),
            "tags": {"for": "x"},
        },
        "ann",
    )
    assert made.status == 201, made.raw
    (row,) = made.json["items"]
    assert row["state"] == "pending"
    assert (row["key_name"], row["tags"], row["type"]) == ("mine", {"for": "x"}, "m1.small")
    assert scene.world.view.instances[row["id"]].user_data == b"\0\xff"
    here = f"/v1/instances/{row['id']}"

    scene.settle()
    seen = scene.ask("GET", here, by="ann").json
    assert seen["state"] == "running"
    assert seen["reservation_id"] == made.json["reservation_id"]
    assert seen["public_address"].startswith("127.")
    shown = scene.meanwhile(lambda: scene.ask("GET", f"{here}/console", by="ann"))
    assert shown.status == 200, shown.raw
    assert f"simulated machine {row['id']} generation 1 started" in shown.json["text"]

    assert scene.ask("POST", f"{here}/reboot", by="ann").status == 202
    scene.settle()
    assert scene.world.view.instances[row["id"]].seen_reboots == 1
    assert scene.ask("POST", f"{here}/stop", by="ann").json["state"] == "stopping"
    scene.settle()
    assert scene.ask("GET", here, by="ann").json["state"] == "stopped"
    assert scene.ask("POST", f"{here}/reboot", by="ann").problem == "state_conflict"
    assert scene.ask("POST", f"{here}/start", by="ann").json["state"] == "pending"
    scene.settle()
    assert scene.ask("GET", here, by="ann").json["state"] == "running"

    ended = scene.ask("DELETE", here, by="ann")
    assert ended.status == 202
    assert ended.json["reason"] == {"code": "Client.UserInitiatedShutdown", "text": "User initiated"}
    scene.settle()
    assert scene.ask("GET", here, by="ann").json["state"] == "terminated"
    assert scene.ask("DELETE", "/v1/keys/mine", by="ann").status == 204
    gone = scene.ask("DELETE", "/v1/keys/mine", by="ann")
    assert (gone.status, gone.problem) == (404, "key_not_found")


def test_zones_types_and_images_are_shown(scene: Any) -> None:
    zones = scene.ask("GET", "/v1/zones", by="ann").json
    assert [zone["name"] for zone in zones["items"]] == ["z0", "z1"]
    assert zones["items"][0]["up"] is True
    assert zones["items"][0]["room"][0] == {"type": "m1.small", "free": 8, "total": 8}
    assert scene.ask("GET", "/v1/zones/z1", by="ann").json["name"] == "z1"
    types = scene.ask("GET", "/v1/types", by="ann").json["items"]
    assert types[0]["name"] == "m1.small"
    assert scene.ask("GET", "/v1/types/m1.small", by="ann").json == types[0]
    assert ids(scene.ask("GET", "/v1/images", by="ann")) == [scene.image]
    assert ids(scene.ask("GET", "/v1/images?kind=kernel", by="ann")) == []
    assert scene.ask("GET", f"/v1/images/{scene.image.upper()}", by="ann").json["virtual_bytes"] == 1 << 20


def test_an_idempotency_key_launches_once(make_scene: Any) -> None:
    scene = make_scene()
    body = {"image_id": scene.image, "hints": {"a": "1", "b": "2"}}
    first = scene.ask("POST", "/v1/instances", body, "ann", Idempotency_Key="k-1")
    reordered = {"hints": {"b": "2", "a": "1"}, "count": 1, "image_id": scene.image}
    again = scene.ask("POST", "/v1/instances", reordered, "ann", Idempotency_Key="k-1")
    assert (first.status, again.status) == (201, 201)
    assert ids(first) == ids(again)
    other = scene.ask("POST", "/v1/instances", {**body, "count": 2}, "ann", Idempotency_Key="k-1")
    assert (other.status, other.problem) == (400, "token_mismatch")
    assert len(ids(scene.ask("GET", "/v1/instances", by="ann"))) == 1
    for bad in ("", "with blank", "k" * 65, "\xe4"):
        refused = scene.ask("POST", "/v1/instances", body, "ann", Idempotency_Key=bad)
        assert (refused.status, refused.problem) == (400, "parameter_invalid"), bad


def test_a_launch_that_waits_says_so_and_can_be_ended(make_scene: Any) -> None:
    scene = make_scene()
    full = {"image_id": scene.image, "type": "m1.large", "zone": "z0"}
    assert scene.ask("POST", "/v1/instances", {**full, "count": 4}, "ann").status == 201
    refused = scene.ask("POST", "/v1/instances", full, "ann")
    assert (refused.status, refused.problem) == (409, "capacity_exhausted")
    refused = scene.ask("POST", "/v1/instances", {**full, "hints": {"wait": "long"}}, "ann")
    assert (refused.status, refused.problem) == (400, "parameter_invalid")
    made = scene.ask("POST", "/v1/instances", {**full, "hints": {"wait": "600"}}, "ann")
    assert made.status == 201
    (id,) = ids(made)
    shown = scene.ask("GET", f"/v1/instances/{id}", by="ann").json
    assert (shown["state"], shown["zone"], shown["reachable"]) == ("pending", "z0", True)
    assert shown["reason"]["code"] == "Server.WaitingForRoom"
    assert (shown["private_address"], shown["public_address"]) == (None, None)
    assert id in ids(scene.ask("GET", "/v1/instances?zone=z0&state=pending", by="ann"))
    scene.ask("DELETE", f"/v1/instances/{id}", by="ann")
    assert scene.ask("GET", f"/v1/instances/{id}", by="ann").json["state"] == "terminated"


def test_filters_and_pages(make_scene: Any) -> None:
    scene = make_scene()
    east = scene.launch(count=3, zone="z0", tags={"role": "web"})
    west = scene.launch(count=2, zone="z1", tags={"role": "db"})
    listed = lambda query: ids(scene.ask("GET", f"/v1/instances?{query}", by="ann"))
    assert listed("zone=z0") == east
    assert listed("zone=z0&zone=z1") == east + west
    assert listed("zone=z1&state=running") == []
    assert listed("tag=role%3Ddb") == west
    assert listed("tag=role&tag=nothing") == east + west
    scene.settle()
    assert listed("state=running&zone=z1") == west

    first = scene.ask("GET", "/v1/instances?limit=2", by="ann").json
    assert [row["id"] for row in first["items"]] == east[:2]
    scene.ask("DELETE", f"/v1/instances/{east[0]}", by="ann")  # rows that change shift nothing
    second = scene.ask("GET", f"/v1/instances?limit=2&page={first['next']}", by="ann").json
    third = scene.ask("GET", f"/v1/instances?limit=2&page={second['next']}", by="ann").json
    assert [row["id"] for row in second["items"] + third["items"]] == [east[2], *west]
    assert third["next"] is None

    for query, by in (
        (f"limit=2&zone=z0&page={first['next']}", "ann"),  # other filters
        (f"limit=2&page={first['next']}", "bob"),  # another's
        (f"page={first['next'][:-4]}AAAA", "ann"),  # made up
        ("page=%00", "ann"),
    ):
        refused = scene.ask("GET", f"/v1/instances?{query}", by=by)
        assert (refused.status, refused.problem) == (400, "page_token_invalid"), query


def test_what_is_others_is_not_there(make_scene: Any) -> None:
    scene = make_scene()
    (id,) = scene.launch("ann")
    assert ids(scene.ask("GET", "/v1/instances", by="bob")) == []
    assert ids(scene.ask("GET", "/v1/instances", by="admin")) == [id]
    for method, rest in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/stop"),
        ("POST", "/reboot"),
        ("GET", "/console"),
    ):
        refused = scene.ask(method, f"/v1/instances/{id}{rest}", by="bob")
        assert (refused.status, refused.problem) == (404, "instance_not_found"), method
    assert scene.ask("GET", f"/v1/instances/{id}", by="ann").json["state"] != "terminated"


@pytest.mark.parametrize(
    ("more", "status", "symbol"),
    [
        ({"image_id": "emi-0badbad0"}, 404, "image_not_found"),
        ({"image_id": "ami"}, 400, "parameter_invalid"),
        ({"image_id": "eki-00000001"}, 400, "id_malformed"),
        ({"key_name": "nobody's"}, 404, "key_not_found"),
        ({"zone": "nowhere"}, 404, "zone_not_found"),
        ({"type": "m9.huge"}, 404, "type_not_found"),
        ({"count": 10}, 403, "quota_exceeded"),
        ({"count": 9, "type": "c1.xlarge"}, 409, "capacity_exhausted"),
        ({"count": 1, "min_count": 2}, 400, "parameter_conflict"),
        ({"count": 0}, 400, "parameter_invalid"),
        ({"count": True}, 400, "parameter_invalid"),
        ({"count": "1"}, 400, "parameter_invalid"),
        ({"count": 1.0}, 400, "parameter_invalid"),
        ({"count": 10**17}, 400, "parameter_invalid"),
        ({"tags": {"a": 1}}, 400, "parameter_invalid"),
        ({"tags": []}, 400, "parameter_invalid"),
        ({"user_data": "not base64!"}, 400, "parameter_invalid"),
        ({"user_data": base64.b64encode(bytes(16385)).decode()}, 400, "parameter_invalid"),
        ({"shutdown_behavior": "explode"}, 400, "parameter_invalid"),
        ({"key_name": "\ud800"}, 400, "parameter_invalid"),
    ],
)
def test_a_launch_is_refused(scene: Any, more: dict[str, Any], status: int, symbol: str) -> None:
    refused = scene.ask("POST", "/v1/instances", {"image_id": scene.image, **more}, "bob")
    assert (refused.status, refused.problem) == (status, symbol), refused.raw
    assert ids(scene.ask("GET", "/v1/instances", by="bob")) == []


def test_a_refusal_has_the_numbers_behind_its_sentence(scene: Any) -> None:
    refused = scene.ask("POST", "/v1/instances", {"image_id": scene.image, "count": 10}, "bob")
    told = refused.json
    assert told["facts"] == {"scope": told["facts"]["scope"], "what": "instances", "limit": 9, "held": 0}
    assert "9 instances" in told["detail"]
    assert told["instance"] == f"urn:uuid:{refused.headers['request-id']}"
    assert told["title"]


def test_an_unknown_field_is_refused_by_name(scene: Any) -> None:
    refused = scene.ask("POST", "/v1/instances", {"image_id": scene.image, "key_nam": "x"}, "bob")
    assert (refused.status, refused.problem) == (400, "parameter_unknown")
    assert refused.json["detail"] == "body has no field 'key_nam'. Did you mean 'key_name'?"
    assert refused.json["facts"] == {"at": "body", "nearest": "key_name"}
    refused = scene.ask("GET", "/v1/instances?sate=running", by="bob")
    assert (refused.status, refused.json["facts"]["nearest"]) == (400, "state")
    assert scene.ask("GET", "/v1/zones/z0?x=1", by="bob").problem == "parameter_unknown"
    missing = scene.ask("POST", "/v1/keys", {}, "bob")
    assert (missing.problem, missing.json["facts"]) == ("parameter_missing", {"at": "body.name"})


def test_a_public_half_is_kept_as_it_is(scene: Any) -> None:
    made = scene.ask("POST", "/v1/keys", {"name": "first", "type": "ed25519"}, "bob").json
    added = scene.ask("POST", "/v1/keys", {"name": "second", "public_key": made["public_key"]}, "bob")
    assert added.status == 201, added.raw
    assert added.json["private_key"] is None
    twice = scene.ask("POST", "/v1/keys", {"name": "first"}, "bob")
    assert (twice.status, twice.problem) == (409, "key_duplicate")
    nonsense = scene.ask("POST", "/v1/keys", {"name": "third", "public_key": "ssh-rsa nonsense"}, "bob")
    assert (nonsense.status, nonsense.problem) == (400, "key_format")
    assert [row["name"] for row in scene.ask("GET", "/v1/keys", by="bob").json["items"]] == [
        "first",
        "second",
    ]
    assert scene.ask("GET", "/v1/keys/second", by="bob").json["fingerprint"] == added.json["fingerprint"]
    assert scene.ask("GET", "/v1/keys/second", by="ann").problem == "key_not_found"


class Deaf:
    """A carrier that takes every call and tells nothing of any."""

    def call(self, peer: str, method: str, args: Any, on_answer: Any) -> None:
        pass


def test_a_node_that_does_not_answer_holds_up_nobody_else(make_scene: Any) -> None:
    scene = make_scene()
    (id,) = scene.launch()
    scene.settle()
    scene.world.cloud.core.instances._carrier = Deaf()  # nothing comes back: only time goes on
    ask = lambda: scene.ask("GET", f"/v1/instances/{id}/console", by="ann")
    answers: list[Any] = []
    waiting = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(consoles.MOST)]
    for thread in waiting:
        thread.start()
    while len(scene.world.cloud.core.instances.consoles._waiting) < consoles.MOST:
        time.sleep(0.01)
    refused = ask()
    assert (refused.status, refused.problem) == (429, "throttled")
    assert scene.ask("GET", f"/v1/instances/{id}", by="ann").status == 200
    scene.settle(20)
    for thread in waiting:
        thread.join(5)
    assert [(it.status, it.problem) for it in answers] == [(503, "unreachable")] * consoles.MOST
