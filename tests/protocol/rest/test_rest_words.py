"""Images, tags, attributes, access keys and the rate limit over REST, on a real cloud controller."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from euca_rest.settings import read
from euca_rpc.clock import HOUR, SECOND, iso
from euca_rpc.cloud import credentials, images
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.errors import EucaError
from euca_rpc.types import InstanceLease, Setting

RECEIPT = {"bytes": 5, "virtual_bytes": 5, "format": "raw", "architecture": "x86_64"}


def upload(scene: Any, by: str, kind: str = "machine") -> str:
    """The location of one that ``by`` may register."""
    caller = scene.world.cloud.core.credentials.by_access_key(scene.keys[by][0]).caller
    location = f"uploads/{by}/{kind}"
    facts = {**RECEIPT, "sha256": kind[0] * 64, "kind": kind}
    scene.world.cloud.journal.do(images.add_upload(caller, location, facts))
    return location


def refused(answer: Any) -> tuple[int, str]:
    return answer.status, answer.problem


# ----------------------------------------------------------------------------------------------------- images
def test_an_image_from_upload_to_its_end(scene: Any) -> None:
    kernel = scene.ask(
        "POST", "/v1/images", {"location": upload(scene, "admin", "kernel"), "name": "k"}, "admin"
    )
    assert kernel.status == 201, kernel.raw
    everybody = {"public": True, "accounts": []}
    path = f"/v1/images/{kernel.json['id']}/permissions"
    assert scene.ask("PUT", path, everybody, "admin").json == everybody
    location = upload(scene, "ann")
    wanted = {
        "location": location,
        "name": "mine",
        "kernel_id": kernel.json["id"],
        "architecture": "x86_64",
    }
    made = scene.ask("POST", "/v1/images", wanted, "ann")
    assert made.status == 201, made.raw
    image = made.json["id"]
    assert (made.json["kernel_id"], made.json["name"], made.json["public"]) == (
        kernel.json["id"],
        "mine",
        False,
    )
    assert scene.ask("GET", f"/v1/images/{image}", by="ann").json == made.json
    assert refused(scene.ask("GET", f"/v1/images/{image}", by="bob")) == (404, "image_not_found")
    in_use = scene.ask("DELETE", f"/v1/images/{kernel.json['id']}", by="admin")
    assert refused(in_use) == (409, "state_conflict")
    assert scene.ask("DELETE", f"/v1/images/{image}", by="ann").status == 204
    assert refused(scene.ask("DELETE", f"/v1/images/{image}", by="ann")) == (404, "image_not_found")
    assert scene.ask("DELETE", f"/v1/images/{kernel.json['id']}", by="admin").status == 204


def test_uploads_of_others_urls_and_wrong_words_register_nothing(scene: Any) -> None:
    location = upload(scene, "ann")
    before = scene.ask("GET", "/v1/images", by="admin").json
    ask = lambda by="ann", **given: refused(
        scene.ask("POST", "/v1/images", {"location": location, "name": "x", **given}, by)
    )
    assert ask(by="bob") == (404, "image_not_found")
    assert ask(location="http://elsewhere/image") == (404, "image_not_found")
    assert ask(location="/etc/shadow") == (404, "image_not_found")
    assert ask(architecture="aarch64") == (400, "parameter_invalid")
    assert ask(kernel_id=scene.image) == (400, "id_malformed")
    assert ask(kernel_id="eki-0badbad0") == (404, "image_not_found")
    assert ask(name="") == (400, "parameter_invalid")
    assert ask(location=upload(scene, "bob", "kernel"), by="bob") == (403, "denied")
    assert scene.ask("GET", "/v1/images", by="admin").json == before


def test_a_disabled_image_is_launched_by_nobody(make_scene: Any) -> None:
    scene = make_scene()
    path = "/v1/images/emi-00000001"
    change = lambda enabled, by: scene.ask("PATCH", path, {"enabled": enabled}, by=by)
    assert (change(False, "ann").status, change(False, "ann").problem) == (403, "denied")
    off = change(False, "admin")
    assert (off.status, off.json["state"]) == (200, "disabled")
    assert scene.ask("GET", "/v1/images?state=disabled", by="admin").json["items"][0]["id"] == "emi-00000001"
    assert scene.ask("GET", path, by="ann").status == 404
    launch = scene.ask("POST", "/v1/instances", {"image_id": "emi-00000001", "type": "m1.small"}, by="ann")
    assert (launch.status, launch.problem) == (409, "image_unavailable")
    assert change(True, "admin").json["state"] == "available"
    assert scene.ask("GET", path, by="ann").status == 200
    assert scene.ask("PATCH", path, {"enabled": "yes"}, by="admin").problem == "parameter_invalid"


def test_permissions_are_the_owners_and_replace_what_was(scene: Any) -> None:
    image = scene.ask("POST", "/v1/images", {"location": upload(scene, "ann"), "name": "shared"}, "ann").json[
        "id"
    ]
    path = f"/v1/images/{image}/permissions"
    bob = scene.world.cloud.core.credentials.by_access_key(scene.keys["bob"][0]).caller.account_id
    assert scene.ask("GET", path, by="ann").json == {"public": False, "accounts": []}
    for wanted in (
        {"public": False, "accounts": ["123456789012", bob]},
        {"public": False, "accounts": [bob]},
    ):
        assert scene.ask("PUT", path, wanted, "ann").json["accounts"] == sorted(wanted["accounts"])
        assert scene.ask("GET", f"/v1/images/{image}", by="bob").status == 200
    assert scene.ask("GET", path, by="admin").json == {"public": False, "accounts": [bob]}
    assert refused(scene.ask("GET", path, by="bob")) == (403, "denied")
    assert refused(scene.ask("PUT", path, {"public": True, "accounts": []}, "bob")) == (403, "denied")
    assert refused(scene.ask("DELETE", f"/v1/images/{image}", by="bob")) == (403, "denied")
    wrong = {"public": False, "accounts": ["all"]}
    assert refused(scene.ask("PUT", path, wrong, "ann")) == (400, "parameter_invalid")
    assert scene.ask("PUT", path, {"public": True, "accounts": []}, "ann").json["public"] is True
    assert scene.ask("PUT", path, {"public": False, "accounts": []}, "ann").json["public"] is False
    assert refused(scene.ask("GET", f"/v1/images/{image}", by="bob")) == (404, "image_not_found")
    scene.ask("DELETE", f"/v1/images/{image}", by="ann")


def test_an_image_is_made_of_a_machine_and_shown_until_it_is_there(make_scene: Any) -> None:
    scene = make_scene()
    (id,) = scene.launch()
    ask = lambda by="ann", **given: scene.ask("POST", f"/v1/instances/{id}/image", given, by)
    scene.settle()
    assert refused(ask(by="bob", name="x")) == (404, "instance_not_found")
    assert refused(ask(name="")) == (400, "parameter_invalid")
    made = ask(name="kept", description="as it was")
    assert made.status == 202, made.raw
    assert (made.json["state"], made.json["name"], made.json["description"]) == (
        "pending",
        "kept",
        "as it was",
    )
    assert id in made.json["reason"]["text"]
    image = made.json["id"]
    listed = lambda state: [
        row["id"] for row in scene.ask("GET", f"/v1/images?state={state}", by="ann").json["items"]
    ]
    assert (listed("pending"), listed("available")) == ([image], [scene.image])
    assert refused(ask(name="kept")) == (409, "name_duplicate")
    early = scene.ask("POST", "/v1/instances", {"image_id": image}, "ann")
    assert refused(early) == (409, "image_unavailable")
    assert scene.ask("DELETE", f"/v1/images/{image}", by="ann").status == 204
    assert listed("pending") == []


# ------------------------------------------------------------------------------------------------------- tags
def test_tags_are_put_listed_and_taken_off(make_scene: Any) -> None:
    scene = make_scene()
    first, second = scene.launch(count=2)
    put = lambda id, key, value, by="ann": scene.ask("PUT", f"/v1/tags/{id}/{key}", {"value": value}, by)
    assert put(first.upper(), "Name", "web").json == {"resource_id": first, "key": "Name", "value": "web"}
    assert put(first, "Name", "db").status == 200
    assert put(first, "a%2Fb%20%C3%A9", "").json["key"] == "a/b é"
    assert put(second, "Name", "web").status == 200
    assert scene.ask("GET", f"/v1/instances/{first}", by="ann").json["tags"] == {"Name": "db", "a/b é": ""}
    listed = lambda query="", by="ann": [
        (row["resource_id"], row["key"], row["value"])
        for row in scene.ask("GET", f"/v1/tags{query}", by=by).json["items"]
    ]
    every = sorted([(first, "Name", "db"), (first, "a/b é", ""), (second, "Name", "web")])
    assert listed() == listed(by="admin") == every
    assert listed(f"?resource_id={second}") == [(second, "Name", "web")]
    assert listed("?key=Name&key=x") == [row for row in every if row[1] == "Name"]
    assert listed(by="bob") == []
    page = scene.ask("GET", "/v1/tags?limit=2", by="ann").json
    rest = scene.ask("GET", f"/v1/tags?limit=2&page={page['next']}", by="ann").json
    assert [row["key"] for row in page["items"] + rest["items"]] == [row[1] for row in every]
    assert refused(put(first, "Name", "stolen", by="bob")) == (404, "instance_not_found")
    assert refused(put(first, "aws:x", "")) == (400, "parameter_invalid")
    assert refused(put("subnet-12345678", "x", "")) == (400, "id_malformed")
    for _ in range(2):
        assert scene.ask("DELETE", f"/v1/tags/{first}/Name", by="ann").status == 204
    assert refused(scene.ask("DELETE", f"/v1/tags/{first}/Name", by="bob")) == (404, "instance_not_found")
    assert listed(f"?resource_id={first}") == [(first, "a/b é", "")]


# ------------------------------------------------------------------------------------------------- attributes
def test_attributes_are_changed_one_at_a_time(make_scene: Any) -> None:
    scene = make_scene()
    (id,) = scene.launch(protected=True, shutdown_behavior="stop")
    change = lambda by="ann", **given: scene.ask("PATCH", f"/v1/instances/{id}", given, by)
    shown = scene.ask("GET", f"/v1/instances/{id}", by="ann").json
    assert (shown["protected"], shown["shutdown_behavior"]) == (True, "stop")
    assert refused(scene.ask("DELETE", f"/v1/instances/{id}", by="ann")) == (409, "protected")
    assert change(shutdown_behavior="terminate").json["shutdown_behavior"] == "terminate"
    assert change(protected=False).json["protected"] is False
    assert refused(change(by="bob", protected=True)) == (404, "instance_not_found")
    assert refused(change()) == (400, "parameter_missing")
    assert refused(change(protected=True, type="m1.large")) == (400, "parameter_conflict")
    assert refused(change(type="c1.medium")) == (409, "state_conflict")
    scene.settle()
    scene.ask("POST", f"/v1/instances/{id}/stop", by="ann")
    scene.settle()
    assert change(type="c1.medium").json["type"] == "c1.medium"
    assert refused(change(type="m9.huge")) == (404, "type_not_found")
    data = base64.b64encode(b"#!/bin/sh\n").decode()
    assert change(user_data=data).status == 200
    assert scene.world.view.instances[id].user_data == b"#!/bin/sh\n"
    assert refused(change(kernel_id="eki-0badbad0")) == (404, "image_not_found")
    assert refused(change(ramdisk_id=scene.image)) == (400, "id_malformed")
    shown = scene.ask("GET", f"/v1/instances/{id}", by="ann").json
    assert (shown["type"], shown["protected"], shown["kernel_id"]) == ("c1.medium", False, None)


# ------------------------------------------------------------------------------------------------ access keys
def test_callers_look_after_their_own_access_keys(make_scene: Any) -> None:
    scene = make_scene()
    ids = lambda by="ann": [row["id"] for row in scene.ask("GET", "/v1/access-keys", by=by).json["items"]]
    first = scene.keys["ann"][0]
    made = scene.ask("POST", "/v1/access-keys", by="ann")
    assert made.status == 201, made.raw
    key = made.json["id"]
    assert (made.json["user"], made.json["enabled"]) == ("ann", True)
    assert ids() == [first, key]
    assert ids("bob") == [scene.keys["bob"][0]]
    assert set(ids("admin")) == {key, *(pair[0] for pair in scene.keys.values())}
    assert b"secret" not in scene.ask("GET", "/v1/access-keys", by="ann").raw
    secret = {"access_key_id": key, "secret": made.json["secret"]}
    token = scene.ask("POST", "/v1/tokens", secret).json["token"]
    ask = lambda: scene.ask("GET", "/v1/zones", Authorization=f"Bearer {token}").status
    change = lambda enabled, by="ann": scene.ask("PATCH", f"/v1/access-keys/{key}", {"enabled": enabled}, by)
    assert ask() == 200
    assert change(False).json["enabled"] is False
    assert ask() == 401
    assert refused(change(True, by="bob")) == (404, "credential_not_found")
    assert change(True).json["enabled"] is True
    assert ask() == 200
    path = f"/v1/access-keys/{key}"
    assert refused(scene.ask("DELETE", path, by="bob")) == (404, "credential_not_found")
    assert scene.ask("DELETE", path, by="ann").status == 204
    assert (ask(), ids()) == (401, [first])
    assert refused(scene.ask("DELETE", path, by="ann")) == (404, "credential_not_found")
    for _ in range(credentials.MOST - 1):
        assert scene.ask("POST", "/v1/access-keys", by="ann").status == 201
    assert refused(scene.ask("POST", "/v1/access-keys", by="ann")) == (403, "credential_limit")


# ------------------------------------------------------------------------------------------------ how often
def test_who_asks_too_often_is_told_when_to_come_back(make_scene: Any) -> None:
    scene = make_scene(rate=0.5, burst=3)
    seen = [scene.ask("GET", "/v1/zones", by="ann") for _ in range(3)]  # the first gets the token, too
    assert [it.status for it in seen] == [200, 200, 429]
    assert (refused(seen[2]), seen[2].headers["retry-after"]) == ((429, "throttled"), "2")
    assert seen[2].json["facts"] == {"retry_after": 2}
    key, secret = scene.keys["ann"]
    again = scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": secret})
    assert refused(again) == (429, "throttled")
    assert scene.ask("GET", "/v1/zones", by="bob").status == 200, "nobody spends another's"
    stranger = [scene.ask("POST", "/v1/tokens", {"access_key_id": key, "secret": "x"}) for _ in range(4)]
    assert {it.status for it in stranger} == {401}, "nor with another's name"
    scene.world.clock.advance(2 * SECOND)
    assert scene.ask("GET", "/v1/zones", by="ann").status == 200


@pytest.mark.parametrize("settings", [{"rate": -1.0}, {"burst": 0}, {"rate": "fast"}])
def test_limits_that_make_no_sense_are_refused_at_start(settings: dict[str, Any]) -> None:
    with pytest.raises(EucaError, match=next(iter(settings))):
        read(settings)


# ----------------------------------------------------------------------------------------------------- leases
def test_a_lease_is_shown_and_extended_as_far_as_the_policy_lets_users_go(scene: Any) -> None:
    journal = scene.world.cloud.journal
    (id,) = scene.launch()
    path = f"/v1/instances/{id}"
    assert scene.ask("GET", path, by="ann").json["lease"] is None
    end = scene.world.clock.now() + 24 * HOUR
    body = {"until": iso(end + 2 * HOUR)}
    assert refused(scene.ask("PUT", f"{path}/lease", body, "ann")) == (409, "state_conflict")
    rows = (
        Put(InstanceLease(id, "lease", end, "stop", end)),
        Put(Setting("policy.lease.extension_hours", "2")),
    )
    journal.do(lambda view, now: Outcome(rows))
    shown = {"until": iso(end), "then": "stop", "policy": "lease"}
    assert scene.ask("GET", path, by="ann").json["lease"] == shown
    answer = scene.ask("PUT", f"{path}/lease", body, "ann")
    assert (answer.status, answer.json["lease"]) == (200, shown | body)
    further = {"until": iso(end + 3 * HOUR)}
    assert refused(scene.ask("PUT", f"{path}/lease", further, "ann")) == (403, "denied")
    assert refused(scene.ask("PUT", f"{path}/lease", further, "bob")) == (404, "instance_not_found")
    assert scene.ask("PUT", f"{path}/lease", further, "admin").json["lease"]["until"] == further["until"]
    for nonsense in ("tomorrow morning", "2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        answer = scene.ask("PUT", f"{path}/lease", {"until": nonsense}, "ann")
        assert refused(answer) == (400, "parameter_invalid"), nonsense
    scene.ask("DELETE", path, by="ann")
