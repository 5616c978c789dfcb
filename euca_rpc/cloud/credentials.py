"""Users' credentials: access keys (Query, REST) and X.509 certificates (SOAP).

    made ─► enabled ◄──► disabled
               └────────────┴──► gone: a key is deleted, a certificate revoked; the events keep their history

They are looked up in the view at every request, so whatever was disabled, deleted or revoked is refused from its commit
on, with everything that was made with it.  A user looks after its own, an administrator after everybody's.

Access keys are random; their secrets are sealed (`seal`), opened only to check a signature, and kept open in memory as
long as the row does not change.  Of a certificate the private key is shown once and kept nowhere.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from euca_rpc.clock import SECOND, Clock, Micros
from euca_rpc.cloud.accounts import caller_for, find_user
from euca_rpc.cloud.changes import Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.keys import private_pem
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, access_key_id, secret_key
from euca_rpc.nouns import Credential
from euca_rpc.shown import CredentialStatus
from euca_rpc.types import AccessKey, Caller, Certificate, Event, User

log = logging.getLogger("euca.credentials")
CERTIFICATE_DAYS = 5 * 365
MOST = 8  # of each kind, per user: one for each place that a person works from, and room to replace them one by one

Kind = type[AccessKey] | type[Certificate]
Row = AccessKey | Certificate
Verb = Callable[[View, Micros], Outcome]
_WORD: dict[Kind, str] = {AccessKey: "access_key", Certificate: "certificate"}


class Credentials:
    """`nouns.Credentials`."""

    def __init__(self, journal: Journal, seal: Seal, ids: Ids, clock: Clock) -> None:
        self._journal, self._seal, self._ids, self._clock = journal, seal, ids, clock
        self._open: dict[str, tuple[AccessKey, str]] = {}
        self._ends: dict[str, Micros] = {}  # certificate id → when it expires

    # ------------------------------------------------------------------------------------- who sent a request
    def by_access_key(self, access_key_id: str) -> Credential | None:
        view = self._journal.view
        key = view.access_keys.get(access_key_id)
        user = view.users.get(key.user_id) if key else None
        if key is None or user is None or not key.enabled or not user.enabled:
            why = "unknown" if key is None else "disabled"
            log.info("access key %.24r refused: %s", access_key_id, why)
            self._open.pop(access_key_id, None)
            return None
        opened = self._open.get(key.id)
        if opened is None or opened[0] is not key:
            opened = (key, self._seal.open(key.sealed_secret, key.id))
            self._open[key.id] = opened
        return Credential(caller_for(user), opened[1])

    def by_certificate(self, der: bytes) -> Caller | None:
        view = self._journal.view
        row = view.certificates.get(hashlib.sha256(der).hexdigest())
        user = view.users.get(row.user_id) if row else None
        if row is None or user is None or not row.enabled or not user.enabled:
            return None
        if self._end(row) <= self._clock.wall():
            log.info("certificate %s of %s refused: it expired", row.id, user.name)
            return None
        return caller_for(user)

    # ------------------------------------------------------------------------------------- looking after them
    def keys(self, caller: Caller, user: str | None = None) -> list[CredentialStatus]:
        return self._list(caller, AccessKey, user)

    def certificates(self, caller: Caller, user: str | None = None) -> list[CredentialStatus]:
        return self._list(caller, Certificate, user)

    def create_key(self, caller: Caller, user: str) -> tuple[CredentialStatus, str]:
        row, secret = self._journal.do(add_access_key(caller, self._ids, self._seal, user))
        return self._shown(row), secret

    def create_certificate(self, caller: Caller, user: str) -> tuple[CredentialStatus, str, str]:
        _of(self._journal.view, caller, user)  # before a key is made for nothing
        der, certificate, private = make_certificate(user, self._clock.wall())
        return self._shown(self._journal.do(add_certificate(caller, user, der))), certificate, private

    def enable_key(self, caller: Caller, id: str, enabled: bool) -> CredentialStatus:
        return self._shown(self._journal.do(enable(caller, AccessKey, id, enabled)))

    def enable_certificate(self, caller: Caller, id: str, enabled: bool) -> CredentialStatus:
        return self._shown(self._journal.do(enable(caller, Certificate, id, enabled)))

    def delete_key(self, caller: Caller, id: str) -> None:
        self._journal.do(remove(caller, AccessKey, id))

    def revoke_certificate(self, caller: Caller, id: str) -> None:
        self._journal.do(remove(caller, Certificate, id))

    def _list(self, caller: Caller, kind: Kind, name: str | None) -> list[CredentialStatus]:
        view = self._journal.view
        of = None if name is None else _of(view, caller, name).id
        if of is None and not caller.is_admin:
            of = caller.user_id
        rows = (row for row in _rows(view, kind) if of in (None, row.user_id))
        return [self._shown(row) for row in sorted(rows, key=lambda row: (row.created_at, row.id))]

    def _shown(self, row: Row) -> CredentialStatus:
        user = self._journal.view.users[row.user_id]
        ends = self._end(row) if isinstance(row, Certificate) else None
        return CredentialStatus(row.id, user.name, row.enabled, row.created_at, ends)

    def _end(self, row: Certificate) -> Micros:
        end = self._ends.get(row.id)
        if end is None:
            read = x509.load_der_x509_certificate(row.der)
            end = self._ends[row.id] = int(read.not_valid_after_utc.timestamp()) * SECOND
        return end


# ------------------------------------------------------------------------------------------------------- verbs
def add_access_key(by: Caller | str, ids: Ids, seal: Seal, name: str) -> Verb:
    """The result is (row, secret): the only time that the secret is shown."""

    def verb(view: View, now: Micros) -> Outcome:
        user = _may_have_another(view, by, AccessKey, name)
        id, secret = access_key_id(ids), secret_key(ids)
        row = AccessKey(id, user.id, seal.close(secret, id), True, now)
        return Outcome((Insert(row),), (_told(by, "added", row, user, now),), (row, secret))

    return verb


def add_certificate(by: Caller | str, name: str, der: bytes) -> Verb:
    def verb(view: View, now: Micros) -> Outcome:
        user = _may_have_another(view, by, Certificate, name)
        row = Certificate(hashlib.sha256(der).hexdigest(), user.id, der, True, now)
        return Outcome((Insert(row),), (_told(by, "added", row, user, now),), row)

    return verb


def both(one: Verb, other: Verb) -> Verb:
    """Of a key and a certificate both or neither; the result is the pair of their results."""

    def verb(view: View, now: Micros) -> Outcome:
        a, b = one(view, now), other(view, now)
        return Outcome((*a.changes, *b.changes), (*a.events, *b.events), (a.result, b.result))

    return verb


def enable(by: Caller, kind: Kind, id: str, enabled: bool) -> Verb:
    """The result is the row; saying what is so already is no error, and no event."""

    def verb(view: View, now: Micros) -> Outcome:
        row, user = _find(view, by, kind, id)
        if row.enabled == enabled:
            return Outcome(result=row)
        new = replace(row, enabled=enabled)
        told = _told(by, "enabled" if enabled else "disabled", row, user, now)
        return Outcome((Put(new),), (told,), new)

    return verb


def remove(by: Caller, kind: Kind, id: str) -> Verb:
    """Delete a key, revoke a certificate."""

    def verb(view: View, now: Micros) -> Outcome:
        row, user = _find(view, by, kind, id)
        told = _told(by, "deleted" if kind is AccessKey else "revoked", row, user, now)
        return Outcome((Remove(row),), (told,))

    return verb


def _told(by: Caller | str, what: str, row: Row, user: User, now: Micros) -> Event:
    return event(f"{_WORD[type(row)]}.{what}", row.id, now, by, user.account_id, {"user": user.name})


def _said(kind: Kind) -> str:
    return _WORD[kind].replace("_", " ")


def _rows(view: View, kind: Kind) -> Iterable[Row]:
    return view.access_keys.values() if kind is AccessKey else view.certificates.values()


def _of(view: View, by: Caller | str, name: str) -> User:
    """The user ``name``, if ``by`` may look after that one's credentials.  Whether others exist is not told."""
    if isinstance(by, Caller) and not by.is_admin and name != by.user_name:
        raise EucaError(
            "denied",
            f"{by.user_name} may look after the credentials of {by.user_name} alone, not of {name[:80]!r}: ask an "
            "administrator",
        )
    return find_user(view, name)


def _may_have_another(view: View, by: Caller | str, kind: Kind, name: str) -> User:
    user = _of(view, by, name)
    held = sum(row.user_id == user.id for row in _rows(view, kind))
    if held >= MOST:
        raise EucaError(
            "credential_limit",
            f"{user.name} has {held} {_said(kind)}s, disabled ones included, and may have {MOST}: "
            + ("delete" if kind is AccessKey else "revoke")
            + " one that is not used any more",
            facts={"limit": MOST, "held": held},
        )
    return user


def _find(view: View, by: Caller, kind: Kind, id: str) -> tuple[Row, User]:
    row = view.access_keys.get(id) if kind is AccessKey else view.certificates.get(id)
    if row is None or not (by.is_admin or row.user_id == by.user_id):
        own = sorted(it.id for it in _rows(view, kind) if it.user_id == by.user_id)
        raise EucaError(
            "credential_not_found",
            f"the {_said(kind)} {id[:80]!r} does not exist; {by.user_name} has {', '.join(own) or 'none'}",
        )
    return row, view.users[row.user_id]


def make_certificate(name: str, now: Micros) -> tuple[bytes, str, str]:
    """A key and a self-signed certificate for SOAP: (DER, certificate PEM, private key PEM).  What counts is that the
    exact certificate is on record for the user, not who signed it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "euca-rpc"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    begins = datetime.fromtimestamp(now / SECOND, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - timedelta(minutes=5))
        .not_valid_after(begins + timedelta(days=CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return der, certificate.public_bytes(serialization.Encoding.PEM).decode(), private_pem(key)
