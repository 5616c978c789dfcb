"""Accounts, users and their credentials.

An account owns every resource; a user belongs to exactly one and acts for it.  Access keys are random; their secrets
are sealed (`seal`), opened only to check a signature, and kept open in memory as long as the row does not change.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from euca_rpc.clock import SECOND, Micros
from euca_rpc.cloud.changes import Insert, Outcome, Put, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.keys import private_pem
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, access_key_id, account_number, secret_key
from euca_rpc.nouns import Credential
from euca_rpc.types import AccessKey, Account, Caller, Certificate, Quota, User

log = logging.getLogger("euca.accounts")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
CERTIFICATE_DAYS = 5 * 365


class Credentials:
    """What interfaces look callers up by."""

    def __init__(self, journal: Journal, seal: Seal) -> None:
        self._journal, self._seal = journal, seal
        self._open: dict[str, tuple[AccessKey, str]] = {}

    def by_access_key(self, access_key_id: str) -> Credential | None:
        view = self._journal.view
        key = view.access_keys.get(access_key_id)
        user = view.users.get(key.user_id) if key else None
        if key is None or user is None or not key.enabled or not user.enabled:
            why = "unknown" if key is None else "disabled"
            log.info("access key %.24r refused: %s", access_key_id, why)
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
        return caller_for(user)


def caller_for(user: User, origin: str = "", request_id: str = "") -> Caller:
    return Caller(user.id, user.name, user.account_id, user.is_admin, origin, request_id)


# ------------------------------------------------------------------------------------------------------- verbs
def add_user(
    by: Caller | str,
    ids: Ids,
    name: str,
    *,
    is_admin: bool = False,
    email: str = "",
    account_id: str | None = None,
) -> Callable[[View, Micros], Outcome]:
    """A user with an account of its own, unless one is named."""

    def verb(view: View, now: Micros) -> Outcome:
        if not _NAME.fullmatch(name):
            raise EucaError(
                "parameter_invalid",
                f"the user name {name[:80]!r}: use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit",
            )
        if name in view.user_names:
            raise EucaError("name_duplicate", f"the user {name!r} already exists: choose another name")
        rows: list[Insert] = []
        number = account_id
        if number is None:
            number = account_number(ids)
            while number in view.accounts:
                number = account_number(ids)
            rows.append(Insert(Account(number, name, now)))
        elif number not in view.accounts:
            raise EucaError("account_not_found", f"the account {number} does not exist")
        user = User(f"u-{ids.bits(64):016x}", name, number, is_admin, True, now, email)
        rows.append(Insert(user))
        return Outcome(tuple(rows), (event("user.added", user.id, now, by, number, {"name": name}),), user)

    return verb


def find_user(view: View, name: str) -> User:
    user_id = view.user_names.get(name)
    if user_id is None:
        known = ", ".join(sorted(view.user_names)[:10]) or "none"
        raise EucaError("user_not_found", f"the user {name!r} does not exist; there are {known}")
    return view.users[user_id]


def enable_user(by: Caller, name: str, enabled: bool) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        new = User(user.id, user.name, user.account_id, user.is_admin, enabled, user.created_at, user.email)
        kind = "user.enabled" if enabled else "user.disabled"
        return Outcome((Put(new),), (event(kind, user.id, now, by, user.account_id),), new)

    return verb


def add_access_key(by: Caller | str, ids: Ids, seal: Seal, name: str) -> Callable[[View, Micros], Outcome]:
    """The result is (key id, secret): the only time that the secret is shown."""

    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        key_id, secret = access_key_id(ids), secret_key(ids)
        row = AccessKey(key_id, user.id, seal.close(secret, key_id), True, now)
        told = event("access_key.added", key_id, now, by, user.account_id, {"user": name})
        return Outcome((Insert(row),), (told,), (key_id, secret))

    return verb


def add_certificate(by: Caller | str, name: str, der: bytes) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        row = Certificate(hashlib.sha256(der).hexdigest(), user.id, der, True, now)
        told = event("certificate.added", row.id, now, by, user.account_id, {"user": name})
        return Outcome((Insert(row),), (told,), row)

    return verb


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


def set_quota(by: Caller, quota: Quota) -> Callable[[View, Micros], Outcome]:
    """Lowering one stops nothing; it only refuses what comes."""

    def verb(view: View, now: Micros) -> Outcome:
        facts = {
            "instances": quota.instances,
            "cores": quota.cores,
            "memory_mb": quota.memory_mb,
            "disk_gb": quota.disk_gb,
        }
        return Outcome((Put(quota),), (event("quota.set", quota.id, now, by, facts=facts),), quota)

    return verb
