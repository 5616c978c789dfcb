"""From "Apply for account" to a session, and everything that must not work on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from town import ADMIN_PASSWORD, ANN, HERE, PASSWORD, THERE, Town, elsewhere

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud import accounts
from euca_rpc.cloud.signup import OPTIONAL
from euca_rpc.errors import EucaError
from euca_rpc.shown import Visitor
from euca_rpc.types import Profile, Quota


@pytest.fixture
def town(bench):
    return Town(bench)


def refused(call, *args, **named):
    with pytest.raises(EucaError) as error:
        call(*args, **named)
    return error.value.symbol


# ------------------------------------------------------------------------------------------------ first steps
def test_the_first_password_works_once_and_opens_the_first_steps_alone(town):
    log_in = town.core.sessions.log_in
    assert refused(log_in, THERE, "admin", "admin") == "auth_failure"  # from elsewhere, without the code
    assert refused(log_in, HERE, "admin", "wrong") == "auth_failure"
    begun = log_in(HERE, "admin", "admin")
    assert begun.present.first_steps
    assert begun.present.caller is None
    assert town.core.sessions.by_token(HERE, begun.token).caller is None
    assert refused(log_in, HERE, "admin", "admin") == "state_conflict"
    assert not town.core.sign_up.form().open
    assert refused(town.core.sign_up.apply, THERE, "ann", PASSWORD, ANN) == "unavailable"
    steps = town.core.sessions.first_steps
    assert refused(steps, HERE, begun.token, "admin", "a@example.org") == "password_weak"
    assert refused(steps, HERE, begun.token, ADMIN_PASSWORD, "nobody") == "parameter_invalid"
    assert refused(steps, HERE, "no token", ADMIN_PASSWORD, "a@example.org") == "auth_failure"
    opened = steps(HERE, begun.token, ADMIN_PASSWORD, "a@example.org")
    assert opened.present.caller.is_admin
    assert opened.token != begun.token
    assert town.core.sessions.by_token(HERE, begun.token) is None  # fixation: the old token opens nothing
    assert refused(log_in, HERE, "admin", "admin") == "auth_failure"
    assert refused(steps, HERE, opened.token, ADMIN_PASSWORD, "a@example.org") == "auth_failure"
    assert log_in(THERE, "admin", ADMIN_PASSWORD).present.caller.is_admin
    assert town.core.sign_up.form().open


def test_first_steps_that_were_left_can_be_begun_again(town):
    begun = town.core.sessions.log_in(HERE, "admin", "admin")
    town.bench.clock.advance(31 * MINUTE)
    assert town.core.sessions.by_token(HERE, begun.token) is None
    assert (
        refused(town.core.sessions.first_steps, HERE, begun.token, ADMIN_PASSWORD, "a@b.cd") == "auth_failure"
    )
    town.open()


def test_the_code_of_init_opens_from_elsewhere(town, bench):
    assert refused(town.core.sessions.log_in, THERE, "admin", "admin", code="0" * 20) == "auth_failure"
    assert town.core.sessions.log_in(THERE, "admin", "admin", code=f" {bench.code} ").present.first_steps


def test_no_other_administrator_without_a_password_has_the_first_one(town, bench):
    bench.clock.advance(SECOND)
    bench.cloud.journal.do(accounts.add_user(bench.caller, bench.cloud.ids, "second", is_admin=True))
    assert refused(town.core.sessions.log_in, HERE, "second", "admin") == "auth_failure"


# ---------------------------------------------------------------------------------------------------- the way in
def test_the_whole_way_from_a_request_to_a_session(town, reopen):
    town.open()
    asked = town.ask()
    (mail, subject, text), *_ = town.mails("request")
    assert mail.to == "admin@example.org"
    assert "ann@example.org" in subject
    for word in ("Ann Exemplar", "+1 23", "Prof. P", "UCSB", "clouds", "192.0.2.7"):
        assert word in text
    assert f"https://cloud.example.org:8443/admin/requests/{asked.id}?decide=approve" in text
    assert f"https://cloud.example.org:8443/admin/requests/{asked.id}?decide=reject" in text
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD) == "user_waiting"
    assert refused(town.core.sessions.log_in, THERE, "ann", "wrong password") == "auth_failure"

    person = town.core.people.approve(town.boss, asked.id, quota=Quota("", instances=3))
    assert (person.status, person.account_name, person.profile) == ("unconfirmed", "ann", ANN)
    assert town.core.people.requests(town.boss).rows == ()
    assert refused(town.core.people.approve, town.boss, asked.id) == "request_not_found"
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD) == "user_unconfirmed"

    town.restart(reopen)
    token = town.token("approved")
    assert town.core.sign_up.link("activate", token)
    assert town.core.sign_up.link("activate", token)  # looking uses nothing up
    assert not town.core.sign_up.link("recover", token)
    log_in = town.core.sessions.log_in
    assert refused(log_in, THERE, "ann", "wrong password", activation=token) == "auth_failure"
    assert refused(log_in, THERE, "ann", PASSWORD, activation=token[:-1] + "~") == "link_invalid"
    inside = log_in(THERE, "ann", PASSWORD, activation=token)
    assert inside.present.caller.user_name == "ann"
    assert not inside.present.caller.is_admin
    assert not town.core.sign_up.link("activate", token)
    assert town.core.people.me(inside.present.caller).status == "active"
    assert town.core.people.quota(inside.present.caller).left.instances == 3
    again = log_in(THERE, "ann", PASSWORD, activation=token)  # the old link in the browser does no harm
    assert again.present.caller == replace(inside.present.caller)
    kinds = [e.kind for e in reversed(town.events()) if e.kind.startswith(("request", "user", "session"))]
    assert kinds[-5:] == [
        "request.made",
        "request.approved",
        "user.confirmed",
        "session.began",
        "session.began",
    ]
    assert {e.origin for e in town.events("user.confirmed")} == {"portal 192.0.2.7"}
    town.bench.cloud.store.close()


def test_an_activation_link_is_its_users_alone_and_expires(town):
    town.open()
    town.approve("ann")
    anns = town.token("approved")
    town.approve("bob")
    assert refused(town.core.sessions.log_in, THERE, "bob", PASSWORD, activation=anns) == "link_invalid"
    town.bench.clock.advance(7 * 24 * HOUR)
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD, activation=anns) == "link_invalid"
    town.core.sign_up.recover(THERE, "ann")  # sends another activation link
    assert town.core.sessions.log_in(THERE, "ann", PASSWORD, activation=town.token("approved"))


def test_many_may_wish_for_one_name_and_nobody_learns_who_has_it(town):
    town.open()
    town.activate("ann")
    asked = town.ask("ann", visitor=elsewhere(1))  # taken, answered as ever
    assert refused(town.core.people.approve, town.boss, asked.id) == "name_duplicate"
    twin = town.core.people.approve(town.boss, asked.id, user_name="ann2")
    assert twin.name == "ann2"
    assert "ann2" in town.mails("approved")[-1][2]


def test_rejection_tells_why_and_leaves_nothing_to_log_in_with(town):
    town.open()
    asked = town.ask()
    town.core.people.reject(town.boss, asked.id, "No room this term.\nSorry.")
    mail, _, text = town.mails("rejected")[0]
    assert mail.to == "ann@example.org"
    assert "No room this term.\nSorry." in text
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD) == "auth_failure"
    assert refused(town.core.people.reject, town.boss, asked.id) == "request_not_found"
    stored = town.bench.cloud.store.one(type(asked), asked.id)
    assert (stored.decision, stored.password) == ("rejected", "")
    town.ask()  # may ask again


def test_an_account_may_be_chosen(town):
    town.open()
    team = town.approve("ann").account_id
    assert town.approve("bob", account_id=team).account_id == team
    asked = town.ask("eve")
    assert refused(town.core.people.approve, town.boss, asked.id, account_id="1") == "account_not_found"


@pytest.mark.parametrize(
    ("name", "password", "changed", "symbol"),
    [
        ("", PASSWORD, {}, "parameter_invalid"),
        ("An N", PASSWORD, {}, "parameter_invalid"),
        ("ann", "short", {}, "password_weak"),
        ("ann", "x" * 201, {}, "password_weak"),
        ("ann", "aaaaaaaaaaaaaaa", {}, "password_weak"),
        ("ann", "exemplar is she", {}, "password_weak"),
        ("annabel", "my annabel lee", {}, "password_weak"),
        ("ann", PASSWORD, {"full_name": " "}, "parameter_missing"),
        ("ann", PASSWORD, {"email": ""}, "parameter_missing"),
        ("ann", PASSWORD, {"email": "ann"}, "parameter_invalid"),
        ("ann", PASSWORD, {"email": "a@b.cd\nBcc: all@example.org"}, "parameter_invalid"),
        ("ann", PASSWORD, {"email": "a@b.cd, c@d.ef"}, "parameter_invalid"),
        ("ann", PASSWORD, {"full_name": "Ann\r\nBcc: x@example.org"}, "parameter_invalid"),
        ("ann", PASSWORD, {"telephone": "1" * 201}, "parameter_invalid"),
        ("ann", PASSWORD, {"project_description": "x" * 4001}, "parameter_invalid"),
        ("ann", PASSWORD, {"project_description": "a\0b"}, "parameter_invalid"),
    ],
)
def test_forms_that_are_not_taken(town, name, password, changed, symbol):
    town.open()
    assert refused(town.core.sign_up.apply, THERE, name, password, replace(ANN, **changed)) == symbol
    assert town.core.people.requests(town.boss).rows == ()


def test_fields_that_are_switched_off_are_not_taken(town):
    town.open()
    assert town.core.sign_up.form().fields == OPTIONAL
    town.core.sign_up.set_form(town.boss, ["affiliation"])
    assert town.core.sign_up.form().fields == ("affiliation",)
    asked = town.ask()
    assert (asked.affiliation, asked.telephone, asked.project_description) == ("UCSB", "", "")
    assert refused(town.core.sign_up.set_form, town.boss, ["shoe_size"]) == "parameter_invalid"


def test_requests_are_limited_by_origin_and_in_total(town):
    town.open()
    for n in range(5):
        town.ask(f"u{n}")
    assert refused(town.core.sign_up.apply, THERE, "u5", PASSWORD, ANN) == "throttled"
    town.ask("u6", visitor=elsewhere(1))  # others are not concerned
    town.bench.clock.advance(11 * MINUTE)
    town.ask("u7")
    for n in range(13):
        town.ask(f"v{n}", visitor=elsewhere(2 + n))
    assert refused(town.core.sign_up.apply, elsewhere(99), "w", PASSWORD, ANN) == "unavailable"


# ------------------------------------------------------------------------------------------- forgotten passwords
def test_a_forgotten_password_is_chosen_anew_once(town):
    town.open()
    inside = town.activate()
    town.core.sign_up.recover(THERE, " ANN ")
    token = town.token("recover")
    assert "https://cloud.example.org:8443/password?token=" in town.mails("recover")[0][2]
    assert town.core.sign_up.link("recover", token)
    choose = town.core.sign_up.choose_password
    assert refused(choose, THERE, token, "short") == "password_weak"
    assert refused(choose, THERE, token + "x", "another fine phrase") == "link_invalid"
    choose(THERE, token, "another fine phrase")
    assert refused(choose, THERE, token, "yet another phrase") == "link_invalid"
    assert town.core.sessions.by_token(THERE, inside.token) is None
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD) == "auth_failure"
    assert town.core.sessions.log_in(THERE, "ann", "another fine phrase").present.caller
    assert town.mails("password_changed")[0][0].to == "ann@example.org"


def test_a_recovery_link_expires_and_a_newer_one_takes_its_place(town):
    town.open()
    town.activate()
    town.core.sign_up.recover(THERE, "ann")
    first = town.token("recover")
    town.bench.clock.advance(SECOND)
    town.core.sign_up.recover(THERE, "ann")
    second = town.token("recover")
    assert not town.core.sign_up.link("recover", first)
    town.bench.clock.advance(HOUR)
    assert refused(town.core.sign_up.choose_password, THERE, second, "another fine phrase") == "link_invalid"


def test_recovery_tells_nothing_and_mails_little(town):
    town.open()
    town.activate()
    for name in ("ann", "nobody", "admin", "no such name at all"):
        assert town.core.sign_up.recover(elsewhere(1), name) is None
    for n in range(4):
        town.core.sign_up.recover(elsewhere(10 + n), "ann")
    assert len([m for m, _, _ in town.mails("recover") if m.to == "ann@example.org"]) == 2
    for n in range(10):
        town.core.sign_up.recover(elsewhere(99), f"user{n}")
    assert refused(town.core.sign_up.recover, elsewhere(99), "ann") == "throttled"


def test_whoever_is_added_or_reset_chooses_a_password_by_mail(town):
    town.open()
    added = town.core.people.add(town.boss, "eve", Profile("Eve", "eve@example.org"))
    assert (added.status, added.has_password) == ("unconfirmed", False)
    assert refused(town.core.sessions.log_in, THERE, "eve", "admin") == "auth_failure"
    town.core.sign_up.choose_password(THERE, town.token("invited"), PASSWORD)
    inside = town.core.sessions.log_in(THERE, "eve", PASSWORD)
    town.core.people.reset(town.boss, "eve")
    assert town.core.sessions.by_token(THERE, inside.token) is None
    assert refused(town.core.sessions.log_in, THERE, "eve", PASSWORD) == "auth_failure"
    town.core.sign_up.choose_password(THERE, town.token("recover"), "a third long phrase")
    assert town.core.sessions.log_in(THERE, "eve", "a third long phrase").present.caller


# --------------------------------------------------------------------------------------------------- secrets
def test_no_secret_is_in_events_logs_or_the_database(town, caplog, bench):
    caplog.set_level("DEBUG")
    town.open()
    inside = town.activate()
    refused(town.core.sessions.log_in, THERE, "ann", "a wrong password")
    refused(town.core.sessions.log_in, elsewhere(8), "typed in the wrong field", PASSWORD)
    town.core.sign_up.recover(elsewhere(8), "typed in the wrong field")
    town.core.sign_up.recover(THERE, "ann")
    recover = town.token("recover")
    assert "log-in refused for ann from 192.0.2.7" in caplog.text
    secrets = [
        "wrong field",
        PASSWORD,
        ADMIN_PASSWORD,
        "a wrong password",
        inside.token,
        inside.device,
        recover,
        town.admin.token,
    ]
    told = " ".join(map(repr, town.events())) + caplog.text
    shown = (
        repr(inside)
        + repr(town.core.people.users(town.boss))
        + repr(Visitor("1.2.3.4", device=inside.device))
    )
    bench.cloud.store.close()
    disk = b"".join(p.read_bytes() for p in bench.path.iterdir() if p.name.startswith("euca.db"))
    for secret in secrets:
        assert secret not in told
        assert secret not in shown
        assert secret.encode() not in disk
