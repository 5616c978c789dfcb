"""What the pages do, for those who may."""

from __future__ import annotations

import html
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from web_scene import PASSWORD, Browser

from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.published import publish
from euca_rpc.errors import EucaError
from euca_web import euca_interface
from euca_web.pages.staff_records import cell


def test_a_user_launches_looks_stops_starts_and_terminates(scene: Any) -> None:
    ann = scene.browser("ann")
    page = ann.get("/launch")
    once = re.search(r'name="once" value="([^"]+)"', page.text)
    assert once is not None
    form = {"image": "emi-00000001", "type": "m1.small", "count": "1", "name": "web", "once": once[1]}
    made = ann.post("/launch", form)
    assert made.status == 303
    where = made.location
    assert re.fullmatch(r"/instances/i-[0-9a-f]{8}", where)
    assert ann.post("/launch", form).location == where, "the same form, sent twice"
    assert "is on its way" in ann.get(where).shown
    assert "is on its way" not in ann.get(where).shown, "said once"
    scene.settle()
    assert "running" in ann.get(where).shown
    id = where.rpartition("/")[2]
    assert id in ann.get(f"/instances?search={id[2:]}").shown
    assert id not in ann.get("/instances?search=nothing-like-it").shown
    assert id not in ann.get("/instances?state=stopped").shown
    for change, state in (("reboot", "running"), ("stop", "stopped"), ("start", "running")):
        assert ann.get(f"{where}/{change}").status == 200
        assert ann.post(f"{where}/{change}").location == where
        scene.settle()
        assert state in ann.get(where).shown
    console = scene.meanwhile(lambda: ann.get(f"{where}/console"))
    assert console.status == 200
    assert ann.post(f"{where}/terminate").status == 303
    scene.settle()
    assert "terminated" in ann.get(where).shown


def test_a_refused_launch_says_why_and_keeps_what_was_typed(scene: Any) -> None:
    ann = scene.browser("ann")
    ann.get("/launch")
    answer = ann.post("/launch", {"image": "emi-00000001", "type": "c1.xlarge", "count": "9", "name": "big"})
    assert answer.status == 409
    assert "c1.xlarge" in answer.shown
    assert 'value="big"' in answer.text
    assert '<option value="c1.xlarge" selected>' in answer.text


def test_a_key_pair_is_a_download_once(scene: Any) -> None:
    ann = scene.browser("ann")
    ann.get("/keys")
    made = ann.post("/keys", {"name": "laptop", "key_type": "ed25519"})
    assert made.header("Content-Disposition") == 'attachment; filename="laptop.pem"'
    assert made.raw.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert "laptop" in ann.get("/keys").shown
    again = ann.post("/keys", {"name": "laptop"})
    assert again.status == 409
    assert "already exists" in again.shown
    assert ann.get("/keys/delete?name=laptop").status == 200
    assert ann.post("/keys/delete", {"name": "laptop"}).location == "/keys"
    assert "Forget the key pair" not in ann.get("/keys").shown
    odd = ann.post("/keys", {"name": 'a"; rm -rf /'})
    assert re.fullmatch(r'attachment; filename="key-[0-9a-f]{8}\.pem"', odd.header("Content-Disposition"))
    ann.post("/keys/delete", {"name": 'a"; rm -rf /'})


def test_the_zip_has_all_that_the_old_tools_and_the_new_ones_need(scene: Any) -> None:
    bob = scene.browser("bob")
    bob.get("/credentials")
    made = bob.post("/credentials/certificate")
    assert made.header("Content-Disposition") == 'attachment; filename="euca2-bob-x509.zip"'
    assert made.header("Cache-Control") == "no-store"
    archive = zipfile.ZipFile(io.BytesIO(made.raw))
    names = archive.namelist()
    stem = re.fullmatch(r"(euca2-bob-[0-9a-f]{8})-pk\.pem", names[0])
    assert stem is not None
    assert names == [f"{stem[1]}-pk.pem", f"{stem[1]}-cert.pem", "cloud-cert.pem", "eucarc"]
    assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()} == {0o600}
    rc = archive.read("eucarc").decode()
    for variable in (
        "EC2_URL",
        "EC2_PRIVATE_KEY",
        "EC2_CERT",
        "EUCALYPTUS_CERT",
        "EC2_ACCESS_KEY",
        "EC2_SECRET_KEY",
    ):
        assert f"export {variable}=" in rc
    key = re.search(r"AWS_ACCESS_KEY_ID=(\w+)", rc)
    secret = re.search(r"AWS_SECRET_ACCESS_KEY=(\w+)", rc)
    assert key is not None
    assert secret is not None
    proved = scene.core.credentials.by_access_key(key[1])
    assert proved is not None
    assert (proved.caller.user_name, proved.secret) == ("bob", secret[1])
    certificate = x509.load_pem_x509_certificate(archive.read(names[1]))
    private = load_pem_private_key(archive.read(names[0]), None)
    assert private.public_key() == certificate.public_key()
    assert scene.core.credentials.by_certificate(certificate.public_bytes(Encoding.DER)).user_name == "bob"
    text = bob.get("/credentials").text
    assert key[1] in text
    assert secret[1] not in text


def test_access_keys_are_disabled_enabled_and_deleted(scene: Any) -> None:
    bob = scene.browser("bob")
    bob.get("/credentials")
    made = bob.post("/credentials/key")
    id = re.search(r'id="access-key">(\w+)<', made.text)
    assert id is not None
    proves = lambda: scene.core.credentials.by_access_key(id[1]) is not None
    assert proves()
    for change, after in (("disable", False), ("enable", True), ("delete", False)):
        assert bob.get(f"/credentials/keys/{id[1]}/{change}").status == 200
        assert bob.post(f"/credentials/keys/{id[1]}/{change}").location == "/credentials"
        assert proves() is after, change
    assert bob.get(f"/credentials/keys/{id[1]}/enable").status == 404


def test_certificates_are_revoked(scene: Any) -> None:
    bob = scene.browser("bob")
    certificate, _, _ = scene.core.credentials.create_certificate(scene.caller("bob"), "bob")
    assert certificate.id[:8] in bob.get("/credentials").shown
    assert bob.post(f"/credentials/certificates/{certificate.id}/revoke").status == 303
    bob.get("/credentials")  # says once that it was
    assert certificate.id[:8] not in bob.get("/credentials").text


def test_an_administrator_sees_and_ends_anothers_machine_and_its_owner_alone_besides(scene: Any) -> None:
    id = scene.launch("ann")
    bob, admin = scene.browser("bob"), scene.browser("admin")
    assert id not in bob.get("/instances").text
    assert bob.get(f"/instances/{id}").status == 404
    assert bob.post(f"/instances/{id}/terminate").status == 404
    assert id in admin.get("/instances").text
    assert admin.post(f"/instances/{id}/terminate").status == 303
    scene.settle()
    assert "terminated" in scene.browser("ann").get(f"/instances/{id}").shown


def test_a_list_goes_on_on_its_next_page(make_scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("euca_web.paging.PER_PAGE", 2)
    scene = make_scene()
    made = {scene.launch("ann") for _ in range(3)}
    ann = scene.browser("ann")
    first = ann.get("/instances")
    seen = set(re.findall(r"/instances/(i-[0-9a-f]{8})", first.text))
    assert len(seen) == 2
    further = re.search(r'href="(/instances\?after=[^"]+)"', first.text)
    assert further is not None
    seen |= set(re.findall(r"/instances/(i-[0-9a-f]{8})", ann.get(further[1]).text))
    assert seen == made


def test_the_first_administrator_owes_the_first_steps_and_nothing_opens_before(make_scene: Any) -> None:
    scene = make_scene(opened=False)
    admin = Browser(scene)
    assert "does not take applications yet" in admin.get("/apply").shown
    admin.get("/login")
    assert admin.post("/login", {"user_name": "admin", "password": "admin"}).location == "/first-steps"
    for path in ("/", "/instances", "/admin/users", "/credentials"):
        assert admin.get(path).location == "/first-steps", path
    admin.get("/first-steps")
    odd = admin.post(
        "/first-steps", {"password": PASSWORD, "password_again": "other", "email": "a@example.org"}
    )
    assert odd.status == 400
    assert PASSWORD not in odd.text
    admin.get("/first-steps")
    form = {"password": PASSWORD, "password_again": PASSWORD, "email": "admin@example.org"}
    assert admin.post("/first-steps", form).location == "/"
    assert admin.get("/").status == 200
    assert "Send the application" in Browser(scene).get("/apply").shown
    again = Browser(scene)
    again.get("/login")
    assert again.post("/login", {"user_name": "admin", "password": "admin"}).status == 401


def test_from_apply_to_the_first_log_in(make_scene: Any) -> None:
    scene = make_scene()
    carol, admin = Browser(scene), scene.browser("admin")
    carol.get("/apply")
    form = {"user_name": "carol", "password": PASSWORD, "password_again": PASSWORD}
    form |= {"email": "carol@example.org", "full_name": "Carol", "affiliation": "UCSB"}
    assert carol.post("/apply", form).location == "/applied"
    carol.get("/login")
    waits = carol.post("/login", {"user_name": "carol", "password": PASSWORD})
    assert waits.status == 403
    assert "waiting for approval" in waits.shown
    (letter,) = scene.letters()
    link = re.search(r"https://[^/]+(/admin/requests/req-[0-9a-f]+\?decide=approve)", letter.text)
    assert link is not None, letter.text
    page = admin.get(link[1])
    assert "UCSB" in page.shown
    request = link[1].partition("?")[0]
    assert admin.post(f"{request}/approve", {"user_name": "carol"}).location == "/admin/requests"
    approved = next(letter for letter in scene.letters() if letter.line.to == "carol@example.org")
    token = re.search(r"https://[^/]+/activate\?token=(\S+)", approved.text)
    assert token is not None, approved.text
    carol.get("/login")
    early = carol.post("/login", {"user_name": "carol", "password": PASSWORD})
    assert "not confirmed yet" in early.shown
    for _ in range(3):  # a mail scanner opens the link, too
        assert Browser(scene).get(f"/activate?token={token[1]}").status == 200
    carol.get(f"/activate?token={token[1]}")
    wrong = carol.post("/login", {"user_name": "carol", "password": "another one", "activation": token[1]})
    assert wrong.status == 401
    assert f'name="activation" value="{token[1]}"' in wrong.text, "the form is shown again, link and all"
    done = carol.post("/login", {"user_name": "carol", "password": PASSWORD, "activation": token[1]})
    assert done.location == "/"
    assert "Your account is active now" in carol.get("/").shown
    assert Browser(scene).get(f"/activate?token={token[1]}").status == 404


def test_a_forgotten_password_is_replaced_by_a_link_that_works_once(make_scene: Any) -> None:
    scene = make_scene()
    ann, other = Browser(scene), scene.browser("ann", fresh=True)
    ann.get("/recover")
    assert "If there is a user" in ann.post("/recover", {"user_name": "ann"}).shown
    (letter,) = scene.letters()
    token = re.search(r"/password\?token=(\S+)", letter.text)
    assert token is not None
    ann.get(f"/password?token={token[1]}")
    new = "a new and better one"
    form = {"token": token[1], "password": new, "password_again": new}
    assert ann.post("/password", form).location == "/login"
    assert other.get("/").location == "/login", "all sessions have ended"
    assert ann.get(f"/password?token={token[1]}").status == 404
    ann.get("/login")
    assert ann.post("/login", {"user_name": "ann", "password": new}).status == 303


def test_an_administrator_rejects_and_the_reason_is_mailed(make_scene: Any) -> None:
    scene = make_scene()
    id = scene.apply("dave")
    admin = scene.browser("admin")
    assert "dave" in admin.get("/admin/requests").shown
    admin.get(f"/admin/requests/{id}?decide=reject")
    assert admin.post(f"/admin/requests/{id}/reject", {"reason": "no room this term"}).status == 303
    assert "dave" not in admin.get("/admin/requests").shown.replace("dave was", "")
    told = next(letter for letter in scene.letters() if letter.line.to == "dave@example.org")
    assert "no room this term" in told.text


def test_users_are_disabled_enabled_promoted_and_deleted(make_scene: Any) -> None:
    scene = make_scene()
    admin, bob = scene.browser("admin"), scene.browser("bob", fresh=True)
    _, secret = scene.core.credentials.create_key(scene.caller("bob"), "bob")
    (key,) = scene.core.credentials.keys(scene.caller("bob"))
    assert secret
    id = scene.launch("bob")
    assert "bob" in admin.get("/admin/users?search=bob").shown
    admin.get("/admin/users/bob")
    assert admin.post("/admin/users/bob/disable").status == 303
    assert bob.get("/").location == "/login"
    assert scene.core.credentials.by_access_key(key.id) is None
    assert admin.post("/admin/users/bob/enable").status == 303
    assert scene.core.credentials.by_access_key(key.id) is not None
    assert admin.post("/admin/users/bob/make-administrator").status == 303
    bob = scene.browser("bob", fresh=True)
    assert bob.get("/admin/users").status == 200
    assert admin.post("/admin/users/bob/take-administrator").status == 303
    assert bob.get("/admin/users").status == 403
    assert admin.post("/admin/users/bob/delete").status == 400, "what becomes of the machines has to be said"
    assert admin.post("/admin/users/bob/delete", {"instances": "terminate"}).location == "/admin/users"
    assert scene.core.credentials.by_access_key(key.id) is None, "a deleted user's keys fail at once"
    scene.settle()
    assert "terminated" in admin.get(f"/instances/{id}").shown


def test_quotas_are_set_and_hold(make_scene: Any) -> None:
    scene = make_scene()
    admin, ann = scene.browser("admin"), scene.browser("ann")
    admin.get("/admin/users/ann")
    assert admin.post("/admin/users/ann/quota", {"instances": "1"}).status == 303
    scene.launch("ann")
    ann.get("/launch")
    second = ann.post("/launch", {"image": "emi-00000001", "type": "m1.small"})
    assert second.status == 403
    assert "1" in second.shown
    assert "1 of 1" in ann.get("/capacity").shown
    assert admin.post("/admin/users/ann/quota", {"usual": "1"}).status == 303
    assert ann.post("/launch", {"image": "emi-00000001", "type": "m1.small"}).status == 303
    assert admin.post("/admin/users/ann/quota", {"instances": "-3"}).status == 400
    number = scene.caller("ann").account_id
    assert admin.post(f"/admin/accounts/{number}/quota", {"cores": "2"}).status == 303
    assert admin.get(f"/admin/accounts/{number}").status == 200
    assert admin.post("/admin/quotas/user", {"instances": "5"}).status == 303
    assert (
        'id="user-instances" name="instances" type="number" min="0" max="100000000" value="5"'
        in admin.get("/admin/quotas").text
    )


def test_usage_is_charted_and_a_csv_cannot_be_a_formula(make_scene: Any) -> None:
    scene = make_scene()
    scene.launch("ann")
    scene.settle(600)
    assert "<rect" in scene.browser("ann").get("/usage").text
    sheet = scene.browser("admin").get("/admin/usage.csv?days=7")
    assert sheet.header("Content-Disposition") == 'attachment; filename="usage.csv"'
    lines = sheet.text.splitlines()
    assert lines[0].startswith("account,account_name,user,user_name,")
    assert any(",ann," in line for line in lines[1:])
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert cell(text) == f"'{text}"
    assert cell("ann") == "ann"


def test_a_node_is_drained_and_used_again(make_scene: Any) -> None:
    scene = make_scene()
    admin = scene.browser("admin")
    assert "z0/h0" in admin.get("/admin/nodes").shown
    assert admin.post("/admin/nodes/z0/h0/drain").location == "/admin/nodes"
    assert "drained" in admin.get("/admin/nodes").shown.replace("takes no more", "")
    assert admin.post("/admin/nodes/z0/h0/undrain").status == 303
    assert admin.post("/admin/nodes/z0/nowhere/drain").status == 404


def test_mail_texts_are_edited(make_scene: Any) -> None:
    scene = make_scene()
    admin = scene.browser("admin")
    kind = re.search(r"/admin/mails/templates/([\w-]+)", admin.get("/admin/mails/templates").text)
    assert kind is not None
    where = f"/admin/mails/templates/{kind[1]}"
    page = admin.get(where)
    text = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)
    assert text is not None
    assert admin.post(where, {"subject": "Ours", "text": "$nonsense " + text[1]}).status == 400
    assert admin.post(where, {"subject": "Ours", "text": html.unescape(text[1])}).status == 303
    assert "Ours" in admin.get("/admin/mails/templates").shown
    assert admin.post(where, {"built_in": "1"}).status == 303
    assert "Ours" not in admin.get("/admin/mails/templates").shown


def test_vm_types_are_set_and_removed(make_scene: Any) -> None:
    scene = make_scene()
    admin, ann = scene.browser("admin"), scene.browser("ann")
    admin.get("/admin/types")
    form = {"name": "m1.tiny", "cores": "1", "memory_mb": "64", "disk_gb": "1"}
    assert admin.post("/admin/types", form).location == "/admin/types"
    assert "m1.tiny: 1 core, 64 MiB, 1 GiB" in ann.get("/launch").text
    assert admin.post("/admin/types", form | {"memory_mb": "96"}).status == 303
    assert "m1.tiny: 1 core, 96 MiB, 1 GiB" in ann.get("/launch").text
    wrong = admin.post("/admin/types", form | {"name": "no such <name>", "cores": "0"})
    assert wrong.status == 400
    assert 'value="no such &lt;name&gt;"' in wrong.text
    assert admin.post("/admin/types/m1.tiny/remove").status == 303
    assert "m1.tiny" not in ann.get("/launch").text


def test_a_lease_is_shown_and_extended_as_far_as_the_policy_lets(make_scene: Any) -> None:
    scene = make_scene()
    ann, where = scene.browser("ann"), f"/instances/{scene.launch('ann')}"
    assert "Lease" not in ann.get(where).shown, "nothing limits its run"
    scene.lease(where.rpartition("/")[2], hours=5, allowed=7)
    assert "stopped and keeps its disk" in ann.get(where).shown
    assert "in 5 h" in ann.get(where).shown
    assert "in 5 h" in ann.get("/instances").shown
    assert ann.post(f"{where}/extend", {"hours": "2"}).location == where
    assert "in 7 h" in ann.get(where).shown
    refused = ann.post(f"{where}/extend", {"hours": "1"})
    assert refused.status == 403
    assert "ask an administrator" in refused.shown
    assert "Extend the lease" in refused.text, "on the page that it was asked on"
    assert scene.browser("admin").post(f"{where}/extend", {"hours": "48"}).status == 303


def test_a_portal_without_its_certificate_says_what_to_do(scene: Any, tmp_path: Path) -> None:
    gone = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem"), "port": 0}
    with pytest.raises(EucaError, match="`euca init` makes one"):
        euca_interface(scene.core, gone).start()
    for wrong, said in (
        ({}, "https only"),
        ({**gone, "threads": 0}, "at least 1"),
        ({**gone, "thread": 1}, "'threads'"),
        ({**gone, "names": "cloud"}, "list of texts"),
        ({**gone, "names": [1]}, "list of texts"),
        ({**gone, "hsts_seconds": True}, "must be a int"),
    ):
        with pytest.raises(EucaError, match=said):
            euca_interface(scene.core, wrong)


def test_an_administrator_sees_whose_each_machine_is(make_scene: Any) -> None:
    scene = make_scene()
    id = scene.launch("ann")
    admin, ann = scene.browser("admin"), scene.browser("ann")
    for path in ("/", "/instances", f"/instances/{id}"):
        assert '<a href="/admin/users/ann">ann</a>' in admin.get(path).text, path
        assert "/admin/users/" not in ann.get(path).text
    assert "Owner" not in ann.get("/instances").shown
    scene.core.people.delete(scene.caller("admin"), "ann", "keep")
    assert '<a href="/admin/users/ann">ann</a>' in admin.get("/instances").text, "a deleted one's as well"
    assert scene.core.people.owners(scene.caller("bob"), [scene.world.view.user_names["admin"]]) == {}


def test_a_machine_that_waits_on_no_node_is_shown_like_any_other(make_scene: Any) -> None:
    scene = make_scene()
    id = scene.launch("ann")
    row = replace(scene.world.view.instances[id], node="", reason_code="x", reason="held until there is room")
    scene.journal.do(lambda view, now: Outcome((Put(row),)))
    for who in ("ann", "admin"):
        browser = scene.browser(who)
        for path in ("/", "/instances", f"/instances/{id}", "/capacity", "/usage"):
            assert browser.get(path).status == 200, path
        assert "held until there is room" in browser.get(f"/instances/{id}").shown
    for path in ("/admin/nodes", "/admin/policies", "/admin/usage"):
        assert scene.browser("admin").get(path).status == 200


def test_a_node_that_sleeps_is_no_trouble_and_what_policies_see_is_shown(make_scene: Any) -> None:
    scene = make_scene()
    admin = scene.browser("admin")
    row = replace(scene.world.view.nodes["z0/h0"], sleeps=True)
    scene.journal.do(lambda view, now: Outcome((Put(row),)))
    assert "/admin/nodes/z0/h0/sleep" in admin.get("/admin/nodes").text
    assert admin.get("/admin/nodes/z0/h0/sleep").status == 200
    assert admin.post("/admin/nodes/z0/h0/sleep").location == "/admin/nodes"
    shown = admin.get("/admin/nodes").shown
    assert "going to sleep to save power" in shown
    assert "an administrator wished it" in shown
    asleep = replace(scene.world.view.nodes["z0/h0"], power="asleep", power_deadline=None)
    scene.journal.do(lambda view, now: Outcome((Put(asleep),)))
    page = admin.get("/admin/nodes")
    assert "woken by demand" in page.shown
    assert admin.post("/admin/nodes/z0/h0/wake").status == 303
    assert "being woken since" in admin.get("/admin/nodes").shown
    assert scene.browser("ann").post("/admin/nodes/z0/h0/sleep").status == 403
    evil = "<script>alert(1)</script>"
    scene.journal.do(publish("admin", "spot.price", {"eu": 0.25, evil: evil * 100}))
    text = admin.get("/admin/policies").text
    assert "spot.price" in text
    assert "<script>alert" not in text
