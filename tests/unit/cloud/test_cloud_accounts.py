"""Who may do what: credentials, accounts, quotas, the administrator's verbs."""

from __future__ import annotations

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.cloud import admin
from euca_rpc.cloud.seal import Seal
from euca_rpc.errors import EucaError
from euca_rpc.images import tickets
from euca_rpc.types import LaunchRequest


class NoTrust:
    def __init__(self):
        self.gone = []

    def token(self, role, zone, host):
        return f"token-for-{role}/{zone}/{host}"

    def revoke(self, role, zone, host):
        self.gone.append((role, zone, host))

    def revoked(self):
        return []


@pytest.fixture
def context(bench):
    return admin.Context(bench.cloud, NoTrust(), Seal.load(bench.path / "seal.key"))


def call(context, bench, verb, **args):
    return admin.call(context, bench.caller, verb, args)


def other_user(context, bench, name="bob"):
    call(context, bench, "user_add", name=name)
    made = call(context, bench, "credentials_create", user=name)
    return made, bench.cloud.core.credentials.by_access_key(made["access_key"])


def test_a_made_key_opens_and_a_disabled_user_is_refused_at_once(context, bench, reopen):
    made, credential = other_user(context, bench)
    assert credential.secret == made["secret_key"]
    assert not credential.caller.is_admin
    call(context, bench, "user_enable", name="bob", enabled=False)
    assert bench.cloud.core.credentials.by_access_key(made["access_key"]) is None
    again = reopen(bench)
    assert again.cloud.core.credentials.by_access_key(made["access_key"]) is None
    again.cloud.store.close()


def test_secrets_are_nowhere_in_the_database(context, bench):
    made, _ = other_user(context, bench)
    bench.cloud.store.close()
    for path in bench.path.iterdir():
        if path.name.startswith("euca.db"):
            assert made["secret_key"].encode() not in path.read_bytes()
            assert made["private_key_pem"].splitlines()[2].encode() not in path.read_bytes()


def test_a_sealed_secret_belongs_to_its_row(tmp_path):
    seal = Seal.create(tmp_path / "k")
    sealed = seal.close("secret", "AK1")
    assert seal.open(sealed, "AK1") == "secret"
    with pytest.raises(EucaError):
        seal.open(sealed, "AK2")


def test_others_instances_do_not_exist_for_a_user_and_do_for_an_administrator(context, bench):
    bench.add_node()
    _, bob = other_user(context, bench)
    api = bench.cloud.core.instances
    (mine,) = api.launch(bench.caller, LaunchRequest("emi-00000001")).reservation.instance_ids
    (his,) = api.launch(bob.caller, LaunchRequest("emi-00000001")).reservation.instance_ids
    for verb in (api.terminate, api.reboot, api.stop, api.start, lambda c, ids: list(api.describe(c, ids))):
        with pytest.raises(EucaError) as refused:
            verb(bob.caller, [mine])
        assert refused.value.symbol == "instance_not_found"
    assert [i.instance.id for _, rows in api.describe(bob.caller) for i in rows] == [his]
    assert {i.instance.id for _, rows in api.describe(bench.caller) for i in rows} == {mine, his}
    assert api.terminate(bench.caller, [his])[0].instance_id == his


@pytest.mark.parametrize("limit", [{"instances": 1}, {"cores": 1}, {"memory_mb": 128}, {"disk_gb": 19}])
def test_each_quota_names_itself(context, bench, limit):
    bench.add_node()
    _, bob = other_user(context, bench)
    call(context, bench, "quota_set", scope="user/bob", **limit)
    api = bench.cloud.core.instances
    api.launch(bob.caller, LaunchRequest("emi-00000001"))
    with pytest.raises(EucaError) as refused:
        api.launch(bob.caller, LaunchRequest("emi-00000001"))
    assert refused.value.symbol == "quota_exceeded"
    assert refused.value.facts["limit"] == next(iter(limit.values()))
    told = call(context, bench, "explain", id="last")
    assert told["symbol"] == "quota_exceeded"


def test_unknown_verbs_and_arguments_are_refused_by_name(context, bench):
    with pytest.raises(EucaError, match="did you mean 'zones'"):
        call(context, bench, "zone")
    with pytest.raises(EucaError, match="colour"):
        call(context, bench, "zones", colour="red")


def test_nobody_but_an_administrator_calls_a_verb(context, bench):
    _, bob = other_user(context, bench)
    with pytest.raises(EucaError, match="bob is no administrator"):
        admin.call(context, bob.caller, "users", {})
    with pytest.raises(EucaError, match="no administrator"):
        admin.administrator(bench.cloud, "bob")
    with pytest.raises(EucaError):
        admin.administrator(bench.cloud, "nobody")


def test_an_image_needs_a_receipt_of_this_cloud(context, bench):
    facts = {
        "sha256": "a" * 64,
        "bytes": 5,
        "virtual_bytes": 5,
        "format": "raw",
        "kind": "machine",
        "architecture": "x86_64",
    }
    key = context.cloud.settings.blobs.ticket_key
    good = tickets.issue(key, tickets.RECEIPT, facts, bench.clock.wall() + 10**9)
    forged = tickets.issue(b"x" * 32, tickets.RECEIPT, facts, bench.clock.wall() + 10**9)
    with pytest.raises(EucaError) as refused:
        call(context, bench, "image_add", receipt=forged, name="n")
    assert refused.value.symbol == "denied"
    made = call(context, bench, "image_add", receipt=good, name="n")
    assert made["id"].startswith("emi-")
    gone = call(context, bench, "image_remove", id=made["id"])
    assert tickets.check(key, gone["forget"], tickets.FORGET, bench.clock.wall())["sha256"] == "a" * 64
    assert made["id"] not in [i["id"] for i in call(context, bench, "images")]


def test_drain_takes_no_new_machines_and_remove_revokes(context, bench):
    bench.add_node()
    call(context, bench, "node_drain", name="h1")
    with pytest.raises(EucaError):
        bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001"))
    assert "drained by an administrator" in bench.view.targets["open/h1"].why
    call(context, bench, "node_undrain", name="h1")
    (i,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001")
    ).reservation.instance_ids
    with pytest.raises(EucaError, match=i):
        call(context, bench, "node_remove", name="h1")
    bench.cloud.core.instances.terminate(bench.caller, [i])
    call(context, bench, "node_remove", name="h1")
    assert context.trust.gone == [("node", "open", "h1")]


def test_explain_names_moments_and_reasons(context, bench):
    bench.add_node()
    (i,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001")
    ).reservation.instance_ids
    for _ in range(6):
        bench.answer("open", error=EucaError("unreachable", "connection refused"))
    told = call(context, bench, "explain", id=i.upper())
    assert "silent since 20" in told["why"]
    assert told["state"] == "pending"
    assert next(e["kind"] for e in told["history"]) == "instance.launched"


# ---------------------------------------------------------------------------------------------------- zones
def test_a_mistyped_zone_is_refused_and_makes_nothing(context, bench):
    with pytest.raises(
        EucaError, match="'opne' does not exist; there are open; to make it: euca zone add opne"
    ):
        call(context, bench, "node_add", zone="opne", host="h1")
    with pytest.raises(EucaError, match="'opne' does not exist"):
        call(context, bench, "zone_token", zone="opne")
    assert sorted(bench.view.zones) == ["open"]
    assert not bench.view.nodes


def test_a_zone_comes_by_its_own_command_and_is_asked(context, bench, reopen):
    assert call(context, bench, "zone_add", zone="west")["token"] == "token-for-cluster/west/"
    with pytest.raises(EucaError, match="west exists already"):
        call(context, bench, "zone_add", zone="west")
    with pytest.raises(EucaError, match="zone names are"):
        call(context, bench, "zone_add", zone="West!")
    call(context, bench, "node_add", zone="west", host="h1")
    bench.cloud.step()
    assert "euca.cluster.west" in [peer for peer, *_ in bench.carrier.take("report")]
    again = reopen(bench)
    assert sorted(again.view.zones) == ["open", "west"]
    again.cloud.store.close()


def test_an_empty_zone_is_removed_with_all_that_was_known_of_it(context, bench, reopen):
    call(context, bench, "zone_add", zone="west")
    call(context, bench, "node_add", zone="west", host="h1")
    with pytest.raises(EucaError, match=r"west still has 1 nodes \(west/h1\): remove them first"):
        call(context, bench, "zone_remove", zone="west")
    call(context, bench, "node_remove", name="west/h1")
    bench.cloud.step()
    ((*_, answered),) = [asked for asked in bench.carrier.take("report") if "west" in asked[0]]
    call(context, bench, "zone_remove", zone="west")
    assert context.trust.gone == [("node", "west", "h1"), ("cluster", "west", "")]
    assert [row["name"] for row in call(context, bench, "zones")] == ["open"]
    answered(
        Answer({"zone": "west", "start_id": "s", "roster": False, "nodes": {}})
    )  # to a question from before
    bench.cloud.step()
    assert "west" not in bench.view.contacts
    with pytest.raises(EucaError, match="'west' does not exist"):
        call(context, bench, "zone_remove", zone="west")
    again = reopen(bench)
    assert sorted(again.view.zones) == ["open"]
    again.cloud.store.close()


# ---------------------------------------------------------------------------------------------------- nodes
def test_a_known_node_gets_another_token_and_one_that_is_gone_does_not(context, bench):
    call(context, bench, "node_add", zone="open", host="h1")
    with pytest.raises(
        EucaError, match="open/h1 is known already; if it has yet to enrol: euca node token open/h1"
    ):
        call(context, bench, "node_add", zone="open", host="h1")
    assert call(context, bench, "node_token", name="open/h1") == {
        "id": "open/h1",
        "token": "token-for-node/open/h1",
    }
    call(context, bench, "node_drain", name="open/h1")
    assert call(context, bench, "node_token", name="h1")["id"] == "open/h1"
    assert context.trust.gone == []  # what runs there goes on with the certificate it has
    call(context, bench, "node_remove", name="open/h1")
    with pytest.raises(
        EucaError, match="open/h1 was removed, so it may not enrol: add it again first"
    ) as refused:
        call(context, bench, "node_token", name="open/h1")
    assert refused.value.symbol == "state_conflict"
    told = [e["kind"] for e in call(context, bench, "events", subject="open/h1")]
    assert told.count("node.token") == 2
