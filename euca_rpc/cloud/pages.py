"""Long lists and sums, asked of the store: a page, never the whole.

The view holds what is needed to decide; these answer people who look.  The database does the work, which lets go of the
interpreter meanwhile, so that 100,000 instances on a page of 50 take nothing from the launches going on.  Each list is
ordered by something that does not change, and a cursor names the last row shown: pages do not shift under the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import peewee

from euca_rpc.clock import SECOND, Micros
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.store import Store
from euca_rpc.errors import EucaError
from euca_rpc.types import Event, Instance, Intent, Mail, Seen, Usage

MOST = 200  # rows of one page
Sums = tuple[int, int, int]  # instance, core and MB seconds


def size_of(limit: int) -> int:
    if not 1 <= limit <= MOST:
        raise EucaError("parameter_invalid", f"a page of {limit} rows: ask for 1 to {MOST}")
    return limit


def cursor(*parts: str | int) -> str:
    return "/".join(map(str, parts))


def position(after: str, parts: int) -> list[str]:
    """What `cursor` was made of, numbers first; page_token_invalid."""
    found = after.split("/", parts - 1)
    if len(found) != parts or not found[0].isdecimal() or len(after) > 200:
        raise EucaError("page_token_invalid", f"{after[:80]!r} is no page of this list: begin with the first")
    return found


# ---------------------------------------------------------------------------------------------------- events
def events(
    store: Store,
    *,
    subject: str = "",
    kind: str = "",
    actor: str = "",
    account_id: str = "",
    since: Micros | None = None,
    until: Micros | None = None,
    after: str = "",
    limit: int = 50,
) -> list[Event]:
    """The newest first; a ``kind`` that ends with "." stands for all that begin so."""
    e = store.tables[Event].model
    wanted = [e.id < int(position(after, 1)[0])] if after else []
    if subject:
        wanted.append((e.subject == subject) | (e.request_id == subject))
    if kind.endswith("."):  # no index: the newest that begin so are near the end of the table
        wanted.append(peewee.fn.SUBSTR(e.kind, 1, len(kind)) == kind)
    elif kind:
        wanted.append(e.kind == kind)
    if actor:
        wanted.append(e.actor == actor)
    if account_id:
        wanted.append(e.account_id == account_id)
    if since is not None:
        wanted.append(e.at >= since)
    if until is not None:
        wanted.append(e.at < until)
    return store.select(Event, _all(wanted), limit, newest=True)


# ------------------------------------------------------------------------------------------------- instances
def instances(
    store: Store,
    *,
    ended_since: Micros,
    account_id: str = "",
    search: str = "",
    users: Sequence[str] = (),
    state: str = "",
    after: str = "",
    limit: int = 50,
) -> list[Instance]:
    """The newest first.  ``search`` is looked for in ids, node, addresses, VM type and image; ``users`` are ids of those
    whose name has it."""
    i = store.tables[Instance].model
    wanted = [i.ended_at.is_null() | (i.ended_at >= ended_since)]
    if account_id:
        wanted.append(i.account_id == account_id)
    if state:
        wanted.append(_state(i, state))
    if search:
        columns = (
            i.id, i.reservation_id, i.node, i.public_address, i.private_address, i.vm_type, i.image_id, i.account_id
        )  # fmt: skip
        found = i.created_by.in_(list(users)[:500])
        for column in columns:
            found = found | column.contains(search)
        wanted.append(found)
    if after:
        at, id = position(after, 2)
        wanted.append((i.launched_at < int(at)) | ((i.launched_at == int(at)) & (i.id < id)))
    query = i.select(*[getattr(i, name) for name in store.tables[Instance].names]).where(_all(wanted))
    # of all rows: by the index, the newest are found first; of few: in one go through the table, then sorted
    newest = i.launched_at + 0 if account_id or search or state else i.launched_at
    query = query.order_by(newest.desc(), i.id.desc()).limit(limit)
    return [store.tables[Instance].load(row) for row in query.tuples()]


def _state(i: Any, state: str) -> Any:
    """`lifecycle.state`, said to the database."""
    current = i.seen_generation == i.generation
    off = (i.attempted == False) | (current & i.seen.in_([Seen.STOPPED, Seen.ABSENT]))  # noqa: E712
    runs = current & (i.seen == Seen.RUNNING)
    over = i.ended_at.is_null(False)
    states = {
        lifecycle.TERMINATED: (i.intent == Intent.TERMINATED) & over,
        lifecycle.SHUTTING_DOWN: (i.intent == Intent.TERMINATED) & ~over,
        lifecycle.STOPPED: (i.intent == Intent.STOPPED) & off,
        lifecycle.STOPPING: (i.intent == Intent.STOPPED) & ~off,
        lifecycle.RUNNING: (i.intent == Intent.RUNNING) & runs,
        lifecycle.PENDING: (i.intent == Intent.RUNNING) & ~runs,
    }
    if state not in states:
        raise EucaError("parameter_invalid", f"no state {state[:40]!r}; there are {', '.join(states)}")
    return states[state]


# ----------------------------------------------------------------------------------------------------- mails
def mails(store: Store, after: str = "", limit: int = 50) -> list[Mail]:
    """The oldest first."""
    m = store.tables[Mail].model
    query = m.select(*[getattr(m, name) for name in store.tables[Mail].names])
    if after:
        at, id = position(after, 2)
        query = query.where((m.queued_at > int(at)) | ((m.queued_at == int(at)) & (m.id > id)))
    found = query.order_by(m.queued_at, m.id).limit(limit).tuples()
    return [store.tables[Mail].load(row) for row in found]


def mails_due(store: Store, now: Micros, limit: int) -> list[Mail]:
    m = store.tables[Mail].model
    return store.select(Mail, m.next_try <= now, limit)


def mail_count(store: Store) -> int:
    return int(store.tables[Mail].model.select().count())


# ----------------------------------------------------------------------------------------------------- usage
def usage(
    store: Store,
    since: Micros,
    step: Micros,
    points: int,
    until: Micros,
    account_id: str = "",
    user_id: str = "",
) -> list[Sums]:
    """What was used in each of ``points`` stretches of ``step`` (whole seconds) from ``since`` on.  Nothing is counted from
    ``until`` on, which lies in the last stretch and not in the future: what goes on is counted to there.

    Every machine counts from its beginning to its end.  Summed over machines, what was used until t is
    Σ size·(t − beginning) − Σ size·(t − end), over what began and ended before t.  So one grouping by the two stretches and
    the size is enough, however many machines there are."""
    u = store.tables[Usage].model
    stride, total = step // SECOND, peewee.fn.SUM
    inner = u.select(
        ((_began(u, since) - since) / SECOND).alias("begin"),
        ((_ended(u, until) - since) / SECOND).alias("end"),
        u.cores.alias("cores"),
        u.memory_mb.alias("memory"),
    ).where(_used(u, since, until, account_id, user_id))
    c = inner.c
    stretches = c.begin / stride * (points + 1) + c.end / stride
    rows = inner.select_from(
        stretches, c.cores, c.memory, peewee.fn.COUNT(c.begin), total(c.begin), total(c.end)
    )
    changed = [[0, 0, 0] for _ in range(points + 1)]  # in each stretch: by how much Σ size grows
    moved = [[0, 0, 0] for _ in range(points + 1)]  # … and Σ size·moment
    for both, cores, memory, count, begins, ends in _found(store, rows.group_by(*map(peewee.SQL, "123"))):
        first, last = divmod(both, points + 1)
        for dimension, size in enumerate((1, cores, memory)):
            changed[first][dimension] += size * count
            changed[last][dimension] -= size * count
            moved[first][dimension] += size * begins
            moved[last][dimension] -= size * ends
    so_far = [(0, 0, 0)]
    sizes, moments = [0, 0, 0], [0, 0, 0]
    for k in range(points):
        sizes = [a + b for a, b in zip(sizes, changed[k], strict=True)]
        moments = [a + b for a, b in zip(moments, moved[k], strict=True)]
        t = (k + 1) * stride
        so_far.append((t * sizes[0] - moments[0], t * sizes[1] - moments[1], t * sizes[2] - moments[2]))
    return [(b[0] - a[0], b[1] - a[1], b[2] - a[2]) for a, b in pairwise(so_far)]


def usage_by(store: Store, kind: str, since: Micros, until: Micros, account_id: str = "") -> dict[str, Sums]:
    """Id of each user or account that used anything → what."""
    u = store.tables[Usage].model
    key = u.user_id if kind == "user" else u.account_id
    sums: dict[str, Sums] = {}
    sizes = (u.cores, u.memory_mb)
    query = u.select(key, *sizes, peewee.fn.SUM(_seconds(u, since, until)))
    query = query.where(_used(u, since, until, account_id)).group_by(key, *sizes)
    for id, cores, memory, seconds in _found(
        store, query
    ):  # multiplied by its size once, not for each machine
        s = sums.get(id, (0, 0, 0))
        sums[id] = (s[0] + seconds, s[1] + seconds * cores, s[2] + seconds * memory)
    return sums


def ledger(
    store: Store, since: Micros, until: Micros, account_id: str = ""
) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """(Account, user) → instance, core, MB and GB seconds, whole ones of each machine, of what lies from ``since`` to
    ``until``."""
    u = store.tables[Usage].model
    keys = (u.account_id, u.user_id, u.cores, u.memory_mb, u.disk_gb)
    query = u.select(*keys, peewee.fn.SUM(_seconds(u, since, until)))
    query = query.where(_used(u, since, until, account_id)).group_by(*keys)
    sums: dict[tuple[str, str], tuple[int, int, int, int]] = {}
    for account, user, cores, memory, disk, n in _found(store, query):
        s = sums.get((account, user), (0, 0, 0, 0))
        sums[account, user] = (s[0] + n, s[1] + n * cores, s[2] + n * memory, s[3] + n * disk)
    return sums


def _found(store: Store, query: Any) -> list[Any]:
    """Of sums, which need no conversion: thousands of rows cost peewee a third of what they cost the database."""
    found: list[Any] = store.database.execute_sql(*query.sql()).fetchall()  # type: ignore[no-untyped-call]
    return found


def _seconds(u: Any, since: Micros, until: Micros) -> Any:
    return (_ended(u, until) - since) / SECOND - (_began(u, since) - since) / SECOND


def _began(u: Any, since: Micros) -> Any:
    return peewee.Case(None, [(u.began < since, since)], u.began)


def _ended(u: Any, until: Micros) -> Any:
    return peewee.Case(None, [(u.ended.is_null() | (u.ended > until), until)], u.ended)


def _used(u: Any, since: Micros, until: Micros, account_id: str = "", user_id: str = "") -> Any:
    wanted = [u.began < until, u.ended.is_null() | (u.ended > since)]
    if account_id:
        wanted.append(u.account_id == account_id)
    if user_id:
        wanted.append(u.user_id == user_id)
    return _all(wanted)


def _all(wanted: Sequence[Any]) -> Any:
    joined = None
    for one in wanted:
        joined = one if joined is None else joined & one
    return joined
