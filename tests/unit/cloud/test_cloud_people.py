"""What can be done with a user in each status, who may do it, and what goes with it."""

from __future__ import annotations

import pytest
from test_cloud_pages import walk
from test_cloud_signup import refused
from town import ANN, HERE, PASSWORD, THERE, Town, elsewhere

from euca_rpc.cloud import accounts, credentials, lifecycle
from euca_rpc.cloud.changes import Insert, Outcome
from euca_rpc.cloud.seal import Seal
from euca_rpc.types import Account, Caller, LaunchRequest, Profile, Quota, User, UserStatus, VmType

STATUSES = ("waiting", "unconfirmed", "active", "disabled", "deleted")
MISSING = "user_not_found"
# verb → what it answers in each status: the status afterwards, or the refusal
TABLE = {
    "disable": (MISSING, "state_conflict", "disabled", "disabled", MISSING),
    "enable": (MISSING, "state_conflict", "active", "active", MISSING),
    "delete": (MISSING, "deleted", "deleted", "deleted", MISSING),
    "reset": (MISSING, "unconfirmed", "active", "state_conflict", MISSING),
    "set_administrator": (MISSING, "unconfirmed", "active", "disabled", MISSING),
    "change_profile": (MISSING, "unconfirmed", "active", "disabled", MISSING),
    "log_in": ("user_waiting", "user_unconfirmed", "active", "user_disabled", "auth_failure"),
    "log_in_wrongly": ("auth_failure", "auth_failure", "auth_failure", "auth_failure", "auth_failure"),
    "session": (None, None, "goes on", None, None),
    "access_key": (None, False, True, False, False),
    "recover": (None, "approved", "recover", None, None),
    "activate": (None, "active", "active", "user_disabled", "auth_failure"),
}
ARGUMENTS = {"delete": ("keep",), "set_administrator": (True,)}


@pytest.fixture
def town(bench):
    return Town(bench).open()


def bring(town, status):
    """ann in this status; answers her session's token, activation token and access key."""
    if status == "waiting":
        town.ask()
        return "", "", ""
    if status == "unconfirmed":
        town.approve()
        return "", town.token("approved"), key_of(town)
    token = town.activate().token
    activation, key = town.token("approved"), key_of(town)
    if status == "disabled":
        town.core.people.disable(town.boss, "ann")
    if status == "deleted":
        town.core.people.delete(town.boss, "ann", "keep")
    return token, activation, key


def key_of(town):
    cloud = town.bench.cloud
    seal = Seal.load(town.bench.path / "seal.key")
    return cloud.journal.do(credentials.add_access_key(town.boss, cloud.ids, seal, "ann"))[0].id


def status_of(town):
    return town.core.people.user(town.boss, "ann").status


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("verb", TABLE)
def test_every_verb_in_every_status(town, verb, status):
    token, activation, key = bring(town, status)
    expected = TABLE[verb][STATUSES.index(status)]
    people, log_in = town.core.people, town.core.sessions.log_in
    if verb in ("log_in", "log_in_wrongly", "activate"):
        password = "not this one" if verb == "log_in_wrongly" else PASSWORD
        if verb == "activate" and status == "waiting":
            return
        call = lambda: log_in(THERE, "ann", password, activation=activation if verb == "activate" else "")
        if expected == "active":
            assert call().present.caller.user_name == "ann"
            assert status_of(town) == "active"
        else:
            assert refused(call) == expected
    elif verb == "session":
        present = town.core.sessions.by_token(THERE, token)
        assert (present is not None) == (expected == "goes on")
    elif verb == "access_key":
        assert (town.core.credentials.by_access_key(key) is not None) == bool(expected)
    elif verb == "recover":
        before = {m.id for m, _, _ in town.mails()}
        town.core.sign_up.recover(elsewhere(5), "ann")
        assert [m.kind for m, _, _ in town.mails() if m.id not in before] == ([expected] if expected else [])
    else:
        if verb == "change_profile":
            call = lambda: people.change_profile(town.boss, Profile("Ann", "new@example.org"), "ann")
        else:
            call = lambda: getattr(people, verb)(town.boss, "ann", *ARGUMENTS.get(verb, ()))
        if expected in STATUSES:
            call()
            assert status_of(town) == expected
        else:
            assert refused(call) == expected


@pytest.mark.parametrize("verb", ["disable", "delete", "set_administrator"])
def test_nobody_locks_everybody_out(town, verb):
    """Not oneself in the portal, and not the last administrator from anywhere."""
    args = {"disable": (), "delete": ("keep",), "set_administrator": (False,)}[verb]
    call = getattr(town.core.people, verb)
    assert refused(call, town.boss, "admin", *args) == "state_conflict"
    assert refused(call, town.bench.caller, "admin", *args) == "state_conflict"
    ann = town.activate().present.caller
    town.core.people.set_administrator(town.boss, "ann", True)
    second = Caller(ann.user_id, ann.user_name, ann.account_id, True, "portal 192.0.2.7")
    assert refused(call, town.boss, "admin", *args) == "state_conflict"
    call(second, "admin", *args)
    assert refused(call, second, "ann", *args) == "state_conflict"
    # two who lock each other out at the same moment: the first is first
    assert refused(call, town.boss, "ann", *args) == "state_conflict"


def test_none_of_an_administrators_verbs_is_for_others(town):
    ann = town.activate().present.caller
    asked = town.ask("bob", visitor=elsewhere(3))
    people = town.core.people
    calls = [
        (people.users, ()), (people.user, ("ann",)), (people.requests, ()), (people.request, (asked.id,)),
        (people.approve, (asked.id,)), (people.reject, (asked.id,)), (people.add, ("eve", ANN)),
        (people.disable, ("ann",)), (people.enable, ("ann",)), (people.delete, ("ann", "keep")),
        (people.reset, ("ann",)), (people.set_administrator, ("ann", True)), (people.accounts, ()),
        (people.quota, ("user/admin",)), (people.quota, ("account/111111111111",)),
        (people.set_quota, ("user/ann", Quota(""))), (people.change_profile, (ANN, "admin")),
        (town.core.sign_up.set_form, ([],)), (town.core.nodes.describe, ()), (town.core.nodes.drain, ("z/h",)),
        (town.core.nodes.fence, ("z/h",)), (town.core.nodes.policies, ()),
    ]  # fmt: skip
    for verb, args in calls:
        assert refused(verb, ann, *args) == "denied", verb
    listed = {name for name in dir(people) if not name.startswith("_")}
    assert listed == {verb.__name__ for verb, _ in calls if verb.__self__ is people} | {"me", "owners"}
    assert set(people.owners(ann, [ann.user_id, town.boss.user_id])) == {ann.user_id}
    assert people.me(ann).name == "ann"
    assert people.quota(ann).scope == f"user/{ann.user_id}"
    assert people.quota(ann, "account").scope == f"account/{ann.account_id}"
    assert people.change_profile(ann, Profile("A", "a@example.org")).profile.full_name == "A"


@pytest.mark.parametrize("what", ["terminate", "keep"])
def test_a_deleted_users_instances_end_or_stay_the_accounts(town, what, reopen):
    town.bench.add_node()
    ann = town.activate().present.caller
    town.core.people.add(town.boss, "bob", Profile("Bob", "bob@example.org"), ann.account_id)
    bob = accounts.caller_for(accounts.find_user(town.bench.view, "bob"))
    launch = lambda who, **more: town.core.instances.launch(who, LaunchRequest("emi-00000001", **more))
    (hers,) = launch(ann).reservation.instance_ids
    (his,) = launch(bob).reservation.instance_ids
    town.core.instances.modify(ann, hers, "protected", True)
    assert town.core.people.me(ann).instances == 1
    key = key_of(town)
    town.core.people.delete(town.boss, "ann", what)
    assert town.core.credentials.by_access_key(key) is None
    states = {r.id: lifecycle.state(r) for r in town.bench.view.instances.values()}
    assert states[hers] == ("pending" if what == "keep" else "terminated")
    assert states[his] == "pending"
    if what == "keep":  # a colleague of the account looks after it
        town.core.instances.modify(bob, hers, "protected", False)
        assert town.core.instances.terminate(bob, [hers])
    town.restart(reopen)
    assert town.core.credentials.by_access_key(key) is None
    person = town.core.people.user(town.boss, "ann")
    assert (person.status, person.has_password) == ("deleted", False)
    assert refused(town.core.people.add, town.boss, "ann", ANN) == "name_duplicate"
    assert refused(town.core.people.delete, town.boss, "bob", "sell") == "parameter_invalid"
    town.bench.cloud.store.close()


def test_lists_are_paged_and_searched(town):
    users = [
        User(f"u-{n:03}", f"user{n:03}", "1" * 12, False, status, 1, f"mail{n}@example.org", f"Ñame {n}")
        for n, status in enumerate([UserStatus.ACTIVE] * 20 + [UserStatus.DISABLED, UserStatus.DELETED] * 5)
    ]
    town.bench.cloud.journal.do(
        lambda view, now: Outcome((Insert(Account("1" * 12, "team/of/many", 1)), *map(Insert, users)))
    )
    people, boss = town.core.people, town.boss
    assert [p.name for p in walk(lambda **page: people.users(boss, **page), 7)] == ["admin"] + [
        u.name for u in users if u.status is not UserStatus.DELETED
    ]
    assert [p.name for p in people.users(boss, "MAIL7@").rows] == ["user007"]
    assert [p.name for p in people.users(boss, "ñAME 7").rows] == ["user007"]
    assert len(people.users(boss, status="deleted").rows) == 5
    assert len(people.users(boss, status="disabled").rows) == 5
    assert refused(people.users, boss, status="asleep") == "parameter_invalid"
    found = walk(lambda **page: people.accounts(boss, **page), 1)
    assert [(a.name, a.users) for a in found] == [("admin", 1), ("team/of/many", 25)]
    assert people.accounts(boss, "TEAM").rows[0].id == "1" * 12
    for n in range(5):
        town.ask(f"new{n}", visitor=elsewhere(n))
    assert [a.user_name for a in walk(lambda **page: people.requests(boss, **page), 2)] == [
        f"new{n}" for n in range(5)
    ]
    assert [a.user_name for a in people.requests(boss, "NEW3").rows] == ["new3"]


def test_quotas_and_what_is_left_of_them(town):
    town.bench.add_node()
    ann = town.activate(quota=Quota("", instances=3, cores=2)).present.caller
    town.core.instances.launch(ann, LaunchRequest("emi-00000001"))
    told = town.core.people.quota(ann)
    assert (told.limits.instances, told.held.instances, told.left.instances) == (3, 1, 2)
    assert (told.limits.cores, told.held.cores, told.left.cores) == (2, 1, 1)
    assert (told.held.memory_mb, told.left.memory_mb) == (128, -1)
    set_quota, boss = town.core.people.set_quota, town.boss
    assert set_quota(boss, "user/ann", Quota("", instances=0)).left.instances == 0
    assert set_quota(boss, "user/ann", None).limits.instances == -1  # the default
    assert set_quota(boss, "default/user", Quota("", instances=9)).limits.instances == 9
    assert town.core.people.quota(ann).limits.instances == 9
    assert set_quota(boss, f"account/{ann.account_id}", Quota("", disk_gb=50)).left.disk_gb == 40
    assert refused(set_quota, boss, "user/ann", Quota("", instances=-2)) == "parameter_invalid"
    assert refused(set_quota, boss, "planet/1", Quota("")) == "parameter_invalid"
    assert refused(set_quota, boss, "account/1", Quota("")) == "account_not_found"


def test_another_address_makes_mailed_links_useless(town):
    inside = town.activate()
    town.core.sign_up.recover(THERE, "ann")
    token = town.token("recover")
    town.core.people.change_profile(inside.present.caller, Profile("Ann", "other@example.org"))
    assert not town.core.sign_up.link("recover", token)
    (told, _, text) = town.mails("address_changed")[0]
    assert told.to == "ann@example.org"
    assert "other@example.org" not in text


def test_vm_types_are_changed_while_machines_run(town, reopen):
    town.bench.add_node()
    ann = town.activate().present.caller
    types, boss = town.core.types, town.boss
    launch = lambda name: town.core.instances.launch(
        ann, LaunchRequest("emi-00000001", vm_type=name)
    ).instances[0]
    small = launch("m1.small")
    types.set(boss, VmType("m1.small", 2, 256, 5))
    types.set(boss, VmType("x2.tiny", 1, 64, 1, 9))
    assert [t.name for t in types.describe(ann)][-1] == "x2.tiny"
    assert town.bench.view.instances[small.instance.id].cores == 1
    assert launch("m1.small").instance.cores == 2
    assert launch("x2.tiny").instance.memory_mb == 64
    types.remove(boss, "x2.tiny")
    assert refused(launch, "x2.tiny") == "type_not_found"
    assert refused(types.remove, boss, "x2.tiny") == "type_not_found"
    for wrong in (
        VmType("M1 Small", 1, 1, 1), VmType("a" * 41, 1, 1, 1), VmType("m1.x", 0, 1, 1), VmType("m1.x", 1, 1 << 40, 1),
        VmType("m1.x", 1, 1, 1, -1),
    ):  # fmt: skip
        assert refused(types.set, boss, wrong) == "parameter_invalid"
    assert (
        refused(types.set, ann, VmType("m1.x", 1, 1, 1)) == refused(types.remove, ann, "m1.small") == "denied"
    )
    town.restart(reopen)
    names = [t.name for t in town.core.types.describe(boss)]
    assert "x2.tiny" not in names
    for name in names[1:]:
        town.core.types.remove(boss, name)
    assert refused(town.core.types.remove, boss, names[0]) == "state_conflict"
    assert [e.kind for e in town.events("type.")][-3:] == ["type.removed", "type.set", "type.set"]
    town.bench.cloud.store.close()


def test_nodes_and_policies_as_pages_show_them(town):
    town.bench.add_node()
    (node,) = town.core.nodes.describe(town.boss)
    assert (node.node.id, node.reach.up, node.instances, node.free.cores) == ("open/h1", True, 0, 4)
    assert node.heard_at is not None
    town.core.nodes.drain(town.boss, "open/h1")
    assert town.core.nodes.describe(town.boss)[0].node.admin_state == "drained"
    town.core.nodes.drain(town.boss, "open/h1", False)
    assert town.core.nodes.describe(town.boss)[0].node.admin_state == "active"
    assert refused(town.core.nodes.fence, town.boss, "open/h1") == "unsupported"  # no certificates on a bench
    assert town.core.nodes.policies(town.boss) == []
    assert HERE.origin == "portal"
