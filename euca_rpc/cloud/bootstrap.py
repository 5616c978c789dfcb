"""A new cloud's database: VM types, default quotas, the first administrator.  Run once, by `euca init`, offline."""

from __future__ import annotations

import hashlib
from pathlib import Path

from euca_rpc.clock import Clock
from euca_rpc.cloud import accounts, passwords
from euca_rpc.cloud.changes import Outcome, Put, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.passwords import Passwords
from euca_rpc.cloud.signup import FIRST_LOGIN, check_email
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.ids import Ids
from euca_rpc.types import Password, Quota, Setting, VmType, Zone

# cpu, MB, GB; the original's sizes, editable afterwards
VM_TYPES = (
    VmType("m1.small", 1, 128, 10, 0),
    VmType("c1.medium", 1, 256, 10, 1),
    VmType("m1.large", 2, 512, 10, 2),
    VmType("m1.xlarge", 2, 1024, 20, 3),
    VmType("c1.xlarge", 4, 2048, 20, 4),
)


def first_login(ids: Ids) -> tuple[str, Setting]:
    """A one-time code, and the setting that remembers its hash until the first steps are done."""
    code = f"{ids.bits(80):020x}"
    digest = hashlib.sha256(code.encode()).hexdigest()
    return code, Setting(FIRST_LOGIN, f'"{digest}"')


def initialise(
    database: Path,
    clock: Clock,
    ids: Ids,
    *,
    administrator: str,
    zones: tuple[str, ...],
    account_instances: int = 20,
    user_instances: int = -1,
    email: str = "",
    password: str = "",
) -> str:
    """Make the database and everything a cloud starts with.  With an e-mail address and a password the administrator's
    first steps are done; else the answer is a one-time code for the first log-in to the portal.  Only hashes are kept.
    parameter_invalid, password_weak; state_conflict if the database is in use."""
    if email:
        check_email(email)
        passwords.check(password, administrator)
    store = Store(database)
    try:
        journal = Journal(store, View(), clock)
        journal.do(lambda view, now: Outcome(tuple(Put(t) for t in VM_TYPES)))
        user = journal.do(accounts.add_user("init", ids, administrator, is_admin=True, email=email))
        quotas = (Quota("default/account", account_instances), Quota("default/user", user_instances))
        journal.do(lambda view, now: Outcome((*map(Put, quotas), *(Put(Zone(z, now)) for z in zones))))
        code, entrance = (
            "",
            Put(Password(user.id, Passwords(ids).hash(password), clock.wall())) if email else None,
        )
        if entrance is None:
            code, setting = first_login(ids)
            entrance = Put(setting)
        journal.do(
            lambda view, now: Outcome((entrance,), (event("cloud.initialised", "cloud", now, "init"),))
        )
        return code
    finally:
        store.close()
