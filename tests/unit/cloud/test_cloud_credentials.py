"""Access keys and certificates: made, listed, disabled, enabled, deleted, revoked; by whom; and how many."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from euca_rpc.clock import HOUR
from euca_rpc.cloud import accounts, credentials
from euca_rpc.errors import EucaError
from euca_rpc.types import AccessKey

KINDS = ("key", "certificate")


@pytest.fixture
def shelf(bench):
    return bench.cloud.core.credentials


@pytest.fixture
def people(bench):
    """Two users without rights, by name."""
    made = [accounts.add_user(bench.caller, bench.cloud.ids, name) for name in ("ann", "bob")]
    return {user.name: accounts.caller_for(user) for user in map(bench.cloud.journal.do, made)}


class Made:
    """A credential of either kind, and what is done to it."""

    def __init__(self, shelf, caller, user, kind):
        self.shelf, self.kind = shelf, kind
        made = getattr(shelf, f"create_{kind}")(caller, user)
        self.status, self.id = made[0], made[0].id
        self.secret = made[-1]
        self.der = None
        if kind == "certificate":
            self.der = x509.load_pem_x509_certificate(made[1].encode()).public_bytes(Encoding.DER)

    def proves(self):
        if self.der is not None:
            return self.shelf.by_certificate(self.der)
        found = self.shelf.by_access_key(self.id)
        return found and found.caller

    def listed(self, caller, user=None):
        return [it.id for it in getattr(self.shelf, f"{self.kind}s")(caller, user)]

    def enable(self, caller, enabled):
        return getattr(self.shelf, f"enable_{self.kind}")(caller, self.id, enabled)

    def end(self, caller):
        (self.shelf.delete_key if self.kind == "key" else self.shelf.revoke_certificate)(caller, self.id)


def kinds_of_events(bench, subject):
    return [e.kind for e in reversed(bench.cloud.store.events(subject))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["ann", "admin"])
def test_a_life(bench, shelf, people, kind, by, reopen):
    caller = people["ann"] if by == "ann" else bench.caller
    made = Made(shelf, caller, "ann", kind)
    assert made.proves() == people["ann"]
    assert made.status.user_name == "ann"
    assert made.status.enabled
    assert made.listed(people["ann"]) == [made.id]
    for _ in range(2):  # saying it twice is no error, and no event
        assert made.enable(caller, False).enabled is False
        assert made.proves() is None
    assert made.enable(caller, True).enabled is True
    assert made.proves() == people["ann"]
    made.end(caller)
    assert made.proves() is None
    assert made.listed(people["ann"]) == []
    word, last = ("access_key", "deleted") if kind == "key" else ("certificate", "revoked")
    told = [f"{word}.{what}" for what in ("added", "disabled", "enabled", last)]
    assert kinds_of_events(bench, made.id) == told
    assert dict(bench.cloud.store.events(made.id)[0].facts) == {"user": "ann"}
    with pytest.raises(EucaError) as gone:
        made.enable(caller, True)
    assert gone.value.symbol == "credential_not_found"
    made.shelf = reopen(bench).cloud.core.credentials
    assert made.proves() is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_looks_after_its_own_and_an_administrator_after_all(bench, shelf, people, kind):
    made = Made(shelf, people["ann"], "ann", kind)
    bob = people["bob"]
    own = Made(shelf, bob, "bob", kind)
    assert made.listed(bob) == [own.id]
    assert set(made.listed(bench.caller)) >= {made.id, own.id}
    assert made.listed(bench.caller, "ann") == [made.id]
    for verb in (lambda: made.enable(bob, False), lambda: made.end(bob)):
        with pytest.raises(EucaError) as refused:
            verb()
        assert refused.value.symbol == "credential_not_found"
        assert own.id in refused.value.sentence
    for name in ("ann", "nobody"):  # whether there is such a user is not told
        for verb in (lambda n=name: Made(shelf, bob, n, kind), lambda n=name: made.listed(bob, n)):
            with pytest.raises(EucaError) as refused:
                verb()
            assert refused.value.symbol == "denied"
    assert made.proves() == people["ann"]
    with pytest.raises(EucaError) as refused:
        made.listed(bench.caller, "nobody")
    assert refused.value.symbol == "user_not_found"


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_has_at_most_eight_of_each(bench, shelf, people, kind, monkeypatch):
    once = credentials.make_certificate("ann", bench.clock.wall())
    ders = iter(range(100))
    monkeypatch.setattr(  # eight real ones cost a second
        credentials, "make_certificate", lambda name, now: (once[0] + bytes([next(ders)]), *once[1:])
    )
    monkeypatch.setattr(credentials.Credentials, "_end", lambda self, row: 0)
    made = [Made(shelf, people["ann"], "ann", kind) for _ in range(credentials.MOST)]
    made[0].enable(people["ann"], False)  # counts all the same
    with pytest.raises(EucaError) as refused:
        Made(shelf, bench.caller, "ann", kind)
    assert refused.value.symbol == "credential_limit"
    assert refused.value.facts == {"limit": 8, "held": 8}
    Made(shelf, people["bob"], "bob", kind)
    made[0].end(people["ann"])
    Made(shelf, people["ann"], "ann", kind)


def test_a_disabled_users_credentials_prove_nobody_until_the_user_is_back(bench, shelf, people):
    both = [Made(shelf, people["ann"], "ann", kind) for kind in KINDS]
    bench.cloud.journal.do(accounts.enable_user(bench.caller, "ann", False))
    assert [it.proves() for it in both] == [None, None]
    bench.cloud.journal.do(accounts.enable_user(bench.caller, "ann", True))
    assert [it.proves() for it in both] == [people["ann"]] * 2


def test_certificates_are_found_by_their_exact_bytes_until_they_expire(bench, shelf, people):
    made = Made(shelf, people["ann"], "ann", "certificate")
    read = x509.load_der_x509_certificate(made.der)
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    private = load_pem_private_key(made.secret.encode(), None)
    assert private.public_key().public_bytes(*form) == read.public_key().public_bytes(*form)
    twin, _, _ = credentials.make_certificate("ann", bench.clock.wall())
    assert shelf.by_certificate(twin) is None
    assert shelf.by_certificate(b"nonsense") is None
    left = made.status.expires_at - bench.clock.wall()
    assert left // (24 * HOUR) == credentials.CERTIFICATE_DAYS
    bench.clock.advance(left - 1)
    assert made.proves() == people["ann"]
    bench.clock.advance(1)
    assert made.proves() is None


def test_a_key_and_a_certificate_are_made_together_or_not_at_all(bench, shelf, people):
    cloud = bench.cloud
    ids, seal = cloud.ids, shelf._seal
    der, _, _ = credentials.make_certificate("ann", bench.clock.wall())
    for _ in range(credentials.MOST - 1):
        Made(shelf, people["ann"], "ann", "key")
    make = lambda der: credentials.both(
        credentials.add_access_key("init", ids, seal, "ann"), credentials.add_certificate("init", "ann", der)
    )
    (key, secret), certificate = cloud.journal.do(make(der))
    assert isinstance(key, AccessKey)
    assert shelf.by_access_key(key.id).secret == secret
    assert certificate.id in bench.view.certificates
    with pytest.raises(EucaError, match="8 access keys"):
        cloud.journal.do(make(der + b"x"))
    assert [row.id for row in shelf.certificates(bench.caller, "ann")] == [certificate.id]
    shelf.delete_key(bench.caller, key.id)
    refuse = credentials.both(
        credentials.add_access_key("init", ids, seal, "ann"), credentials.add_certificate("init", "nn", der)
    )
    before = len(shelf.keys(bench.caller, "ann"))
    with pytest.raises(EucaError, match="'nn'"):
        cloud.journal.do(refuse)
    assert len(shelf.keys(bench.caller, "ann")) == before
