"""The durable half: rows of `types` in tables of the same names, through peewee, and nothing else.

One table per kind of row, one column per field, made from the dataclasses; an `event` table that is only appended to.
One writer at a time (the journal, on whichever
thread), over one connection; any thread may read, on a connection of its own that cannot write, and sees what is
committed.  SQLite in WAL mode with ``synchronous=FULL``: when `write`
returns or `transaction` ends, it is on the disk.  The SQL
is portable (inserts, upserts by primary key, deletes); nothing outside this file may know which database it is.

`write` takes all that it is given in one transaction or, when the database refuses some of it (an id that was used
before), nothing; `transaction` then takes the parts one by one.  If the commit itself fails or is in doubt, `StoreBroken`
tells the daemon to end: what is on the disk decides, at the next start.

A statement costs more than a row, not least because each lets go of the interpreter, and gets it back only when the
threads that answer requests are done with it: rows of a table are written together, the last word on each.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import types as pytypes
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Any, TextIO

import peewee
from immutables import Map

from euca_rpc.cloud.changes import Change, Forget, Insert, Put, Remove, Soft
from euca_rpc.errors import EucaError
from euca_rpc.types import (
    AccessKey,
    Account,
    Accounted,
    Application,
    Capture,
    Certificate,
    Counter,
    Event,
    Image,
    Instance,
    InstanceLease,
    KeyPair,
    Link,
    Mail,
    Node,
    Password,
    Quota,
    Reservation,
    Session,
    Setting,
    Tag,
    Token,
    Upload,
    Usage,
    User,
    VmType,
    WaitingLaunch,
    Zone,
)

ROWS: tuple[type, ...] = (
    Account,
    User,
    AccessKey,
    Certificate,
    Quota,
    VmType,
    Image,
    KeyPair,
    Reservation,
    Instance,
    Token,
    Tag,
    Upload,
    Usage,
    Zone,
    Node,
    Setting,
    Application,
    Password,
    Link,
    Session,
    Mail,
    Capture,
    InstanceLease,
    Counter,
    Accounted,
    WaitingLaunch,
)
_KEYS = {VmType: "name", Zone: "name"}  # primary keys that are not "id"
_ANY_COUNT = 8
_ROWS_IN_STATEMENT = 32  # × 45 columns: far below what any database takes
_INDEXED = {
    "Instance": ("ended_at", "launched_at", "account_id"),
    "Event": ("subject", "kind"),
    "Usage": ("instance_id",),
    "Application": ("decided_at",),
}


log = logging.getLogger("euca.store")
_PASSING = frozenset({Soft, Forget})  # changes of the view alone


class StoreBroken(Exception):
    """The last commit failed or is in doubt; the process must end."""


class Refused(Exception):
    """The database refused one request of a batch (an id that exists)."""


# ------------------------------------------------------------------------------- dataclass field ↔ column
def _same(value: Any) -> Any:
    return value


def _column(annotation: Any) -> tuple[type[peewee.Field], bool, Callable[[Any], Any], Callable[[Any], Any]]:
    """Column type, nullable, to the database, from the database."""
    null = False
    if typing.get_origin(annotation) is pytypes.UnionType:
        annotation, null = next(a for a in typing.get_args(annotation) if a is not type(None)), True
    if typing.get_origin(annotation) is tuple:
        return peewee.TextField, null, lambda v: json.dumps(v) if v else "[]", lambda v: tuple(json.loads(v))
    if typing.get_origin(annotation) is Mapping:
        return peewee.TextField, null, _map_out, lambda v: Map(json.loads(v))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return peewee.TextField, null, str, annotation
    if annotation is bool:
        return peewee.BooleanField, null, _same, bool
    if annotation is int:
        return peewee.BigIntegerField, null, _same, _same
    if annotation is float:
        return peewee.DoubleField, null, _same, float
    if annotation is bytes:
        return peewee.BlobField, null, _same, bytes
    if annotation is str:
        return peewee.TextField, null, _same, _same
    raise TypeError(f"no column for {annotation!r}")


_spell = json.JSONEncoder(
    sort_keys=True, separators=(",", ":")
).encode  # one for all: `dumps` makes one a time


def _map_out(value: Mapping[str, Any]) -> str:
    return _spell(dict(value)) if value else "{}"


class _Table:
    """One kind of row: its model, and the statements that are made of it once."""

    def __init__(self, kind: type, database: peewee.Database) -> None:
        self.kind = kind
        self.key = _KEYS.get(kind, "id")
        hints = typing.get_type_hints(kind)
        self.names = [f.name for f in fields(kind)]
        columns: dict[str, Any] = {}
        self.out: list[Callable[[Any], Any] | None] = []  # None: goes to the database as it is
        self.back: list[Callable[[Any], Any]] = []
        for name in self.names:
            column, null, out, back = _column(hints[name])
            if name == self.key:
                columns[name] = peewee.AutoField() if kind is Event else column(primary_key=True)
            else:
                columns[name] = column(null=null, index=name in _INDEXED.get(kind.__name__, ()))
            self.out.append(None if out is _same else _nullable(out))
            self.back.append(_nullable(back))
        # rows whose key is a text lie in the key's own tree: one page less to write for each
        told = {"database": database, "table_name": kind.__name__.lower(), "without_rowid": kind is not Event}
        meta = type("Meta", (), told)
        self.model: Any = type(kind.__name__, (peewee.Model,), {**columns, "Meta": meta})
        model: Any = self.model
        self.to_send = [
            (n, out) for n, out in zip(self.names, self.out, strict=True) if not (kind is Event and n == "id")
        ]
        model_fields = [getattr(model, n) for n, _ in self.to_send]
        self._empty = dict.fromkeys(model_fields, None)
        self._others = [f for f in model_fields if f.name != self.key]
        target = getattr(model, self.key)
        self.delete_sql = model.delete().where(target == "").sql()[0]
        self._values = attrgetter(*[n for n, _ in self.to_send])
        self._converted = [(at, out) for at, (_, out) in enumerate(self.to_send) if out is not None]
        self._sql: dict[tuple[type, int], str] = {}

    def statements(self, how: type, rows: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
        """Insert or Put all rows: up to 8 at once, 13 as 8 + 5, so that there are few different statements, each
        prepared once."""
        start = 0
        while left := len(rows) - start:
            count = left if left <= _ANY_COUNT else min(_ROWS_IN_STATEMENT, 1 << (left.bit_length() - 1))
            sql = self._sql.get((how, count))
            if sql is None:
                made = self.model.insert_many([self._empty] * count)
                if how is Put:
                    made = made.on_conflict(
                        conflict_target=[getattr(self.model, self.key)], preserve=self._others
                    )
                sql = self._sql[how, count] = made.sql()[0]
            params: list[Any] = []
            for row in rows[start : start + count]:
                params += self._params(row)
            yield sql, params
            start += count

    def _params(self, row: Any) -> list[Any]:
        values = list(self._values(row))
        for at, out in self._converted:
            values[at] = out(values[at])
        return values

    def load(self, found: Sequence[Any]) -> Any:
        return self.kind(*[back(value) for back, value in zip(self.back, found, strict=True)])


def _nullable(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda v: None if v is None else convert(v)


# ------------------------------------------------------------------------------------------------ migrations
def _first(store: Store) -> None:
    store.database.create_tables([t.model for t in store.tables.values()])


def _people(store: Store) -> None:
    """Sign-up: a user has a status instead of a switch, a profile, a password; and there are sessions and mails."""
    store.database.create_tables(
        [store.tables[k].model for k in (Application, Password, Link, Session, Mail)]
    )
    for name in ("launched_at", "account_id"):
        store._execute(f'CREATE INDEX IF NOT EXISTS "instance_{name}" ON "instance" ("{name}")')
    have = {column.name for column in store.database.get_columns("user")}
    if "enabled" not in have:
        return  # made by this release
    for name in ("full_name", "telephone", "project_leader", "affiliation", "project_description"):
        store._execute(f"ALTER TABLE \"user\" ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    store._execute("ALTER TABLE \"user\" ADD COLUMN status TEXT NOT NULL DEFAULT 'active'")
    store._execute("UPDATE \"user\" SET status = 'disabled' WHERE NOT enabled")
    store._execute('ALTER TABLE "user" DROP COLUMN enabled')


def _captures(store: Store) -> None:
    """Images made from machines: an image has a state, and there are captures."""
    store.database.create_tables([store.tables[Capture].model])
    have = {column.name for column in store.database.get_columns("image")}
    for name, default in (("state", "available"), ("reason_code", ""), ("reason", ""), ("description", "")):
        if name not in have:
            store._execute(f"ALTER TABLE image ADD COLUMN {name} TEXT NOT NULL DEFAULT '{default}'")


def _leases(store: Store) -> None:
    store.database.create_tables([store.tables[InstanceLease].model])


def _totals(store: Store) -> None:
    store.database.create_tables([store.tables[kind].model for kind in (Counter, Accounted)])


def _waiting(store: Store) -> None:
    """Launches that wait; and a reservation keeps the hints that it was made with."""
    store.database.create_tables([store.tables[WaitingLaunch].model])
    if "hints" not in {column.name for column in store.database.get_columns("reservation")}:
        store._execute("ALTER TABLE reservation ADD COLUMN hints TEXT NOT NULL DEFAULT '{}'")


def _tending(store: Store) -> None:
    """Evictions with notice, and nodes that policies drain and put to sleep."""
    new = {
        "instancelease": {"evicted": "TEXT NOT NULL DEFAULT ''", "noticed": "BIGINT"},
        "node": {
            **dict.fromkeys(("drained_by", "why", "power_by", "mac"), "TEXT NOT NULL DEFAULT ''"),
            **dict.fromkeys(("power_since", "power_try"), "BIGINT NOT NULL DEFAULT 0"),
            "power": "TEXT NOT NULL DEFAULT 'on'",
            "power_deadline": "BIGINT",
            "sleeps": "INTEGER NOT NULL DEFAULT 0",
        },
    }
    for table, columns in new.items():
        have = {column.name for column in store.database.get_columns(table)}
        for name, kind in columns.items():
            if name not in have:
                store._execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


MIGRATIONS: tuple[Callable[[Store], None], ...] = (
    _first,
    _people,
    _captures,
    _leases,
    _totals,
    _waiting,
    _tending,
)  # forward only; number = position + 1


class Store:
    """Opened by one process at a time: it holds a lock on ``<path>.lock`` for life."""

    def __init__(self, path: Path) -> None:
        self._lock = _lock(path)
        self.database = peewee.SqliteDatabase(
            str(path),
            thread_safe=False,  # as peewee calls a connection of each thread's own
            check_same_thread=False,
            pragmas={
                "page_size": 2048,  # of a new file: a launch changes a row or two in each of ten pages
                "journal_mode": "wal",
                "synchronous": "full",
                "foreign_keys": 1,
                "busy_timeout": 5000,
                "temp_store": "memory",  # what would undo a statement needs no file: it never outlives the process
                "cache_size": -16_384,  # KiB: new keys are random, a launch touches pages all over the tables
                "wal_autocheckpoint": 8000,  # pages, by whoever commits then; `merge` comes before in any quiet moment
            },
        )
        self._reading = peewee.SqliteDatabase(
            str(path), pragmas={"busy_timeout": 5000, "temp_store": "memory", "query_only": 1}
        )
        self.unmerged = 0  # commits since the last `merge`
        self.tables: dict[type, _Table] = {kind: _Table(kind, self.database) for kind in (*ROWS, Event)}
        self._migrate()

    def _migrate(self) -> None:
        self._execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        row = self._execute("SELECT MAX(version) FROM schema_version").fetchone()
        have = row[0] or 0
        if have > len(MIGRATIONS):
            raise EucaError(
                "incompatible",
                f"the database has schema {have}, this release knows {len(MIGRATIONS)}: run the newer release",
            )
        for number, step in enumerate(MIGRATIONS[have:], have + 1):
            with self.database.atomic():
                step(self)
                self._execute("INSERT INTO schema_version (version) VALUES (?)", (number,))

    def close(self) -> None:
        self._reading.close()
        self.database.close()
        self._lock.close()

    # --------------------------------------------------------------------------------------------- reading
    def rows(self, ended_since: int) -> Iterator[Any]:
        """All rows that the view holds: ended instances and their reservations only since that moment."""
        for kind in ROWS:
            if kind in (Usage, Mail, Instance, Reservation):
                continue
            waits = self.tables[kind].model.decided_at.is_null() if kind is Application else None
            yield from self.select(kind, waits)
        shown: set[str] = set()
        i = self.tables[Instance].model
        for row in self.select(Instance, i.ended_at.is_null() | (i.ended_at >= ended_since)):
            shown.add(row.reservation_id)
            yield row
        model = self.tables[Reservation].model
        ids = sorted(shown)
        for start in range(0, len(ids), 500):
            yield from self.select(Reservation, model.id.in_(ids[start : start + 500]))

    def select(
        self, kind: type, where: Any = None, limit: int | None = None, newest: bool = False
    ) -> list[Any]:
        table = self.tables[kind]
        query = table.model.select(*[getattr(table.model, name) for name in table.names])
        if where is not None:
            query = query.where(where)
        if newest:
            query = query.order_by(getattr(table.model, table.key).desc())
        if limit is not None:
            query = query.limit(limit)
        return [table.load(found) for found in query.bind(self._reading).tuples()]

    def one(self, kind: type, key: str) -> Any | None:
        """A row by its primary key, also one that has left the view."""
        table = self.tables[kind]
        found = self.select(kind, getattr(table.model, table.key) == key, limit=1)
        return found[0] if found else None

    def events(self, subject: str | None = None, kind: str | None = None, limit: int = 100) -> list[Event]:
        """The newest first."""
        model = self.tables[Event].model
        where = None
        if subject is not None:
            where = (model.subject == subject) | (model.request_id == subject)
        if kind is not None:
            where = (model.kind == kind) if where is None else where & (model.kind == kind)
        return self.select(Event, where, limit, newest=True)

    def events_after(self, after: int, kinds: Sequence[str], limit: int) -> list[Event]:
        """The oldest first, beyond the one numbered ``after``; ``kinds`` empty: of any kind."""
        table = self.tables[Event]
        model = table.model
        query = model.select(*[getattr(model, name) for name in table.names])
        where = model.id > after
        if kinds:
            where &= model.kind.in_(list(kinds))
        query = query.where(where).order_by(model.id).limit(limit)
        return [table.load(found) for found in query.bind(self._reading).tuples()]

    # --------------------------------------------------------------------------------------------- writing
    def write(self, changes: Sequence[Change], events: Sequence[Event]) -> None:
        """All of it in one transaction, on the disk when this returns.  Refused: the database does not take it, and
        nothing was written."""
        durable = _durable(changes)
        if not durable and not events:
            return
        with _believed():
            self.database.begin()
            try:
                self._put(durable, events)
            except BaseException:
                self.database.rollback()
                raise
            self.database.commit()
        self.unmerged += 1

    @contextmanager
    def transaction(self) -> Iterator[Callable[[Sequence[Change], Sequence[Event]], None]]:
        """One transaction of several writes, any of which may be refused by itself; on the disk when the block ends."""
        with _believed(), self.database.atomic():
            yield self._write_one
        self.unmerged += 1

    def merge(self) -> None:
        """Put what was committed where it stays: SQLite's log into its file.  Takes tens of milliseconds, of which a commit
        that did it would make its client wait; here it is done on another connection, and commits go on."""
        self.unmerged = 0
        try:
            self._reading.execute_sql("PRAGMA wal_checkpoint(PASSIVE)")  # type: ignore[no-untyped-call]
        except (
            peewee.PeeweeException
        ) as error:  # a full disk, say: whether anything is lost, the next commit tells
            log.warning("the database's log was not merged into its file: %s", error)

    def _write_one(self, changes: Sequence[Change], events: Sequence[Event]) -> None:
        with _believed(), self.database.savepoint():
            self._put(_durable(changes), events)

    def _put(self, durable: Sequence[Change], events: Sequence[Event]) -> None:
        # one cursor for all: peewee would make one for each statement
        execute = self.database.cursor().execute  # type: ignore[no-untyped-call]
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
            for kind, how, rows in _together(self.tables, durable):
                table = self.tables[kind]
                if how is Remove:
                    for row in rows:
                        execute(table.delete_sql, (getattr(row, table.key),))
                    continue
                for sql, params in table.statements(how, rows):
                    execute(sql, params)
            for sql, params in self.tables[Event].statements(Insert, events):
                execute(sql, params)

    def _execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        return self.database.execute_sql(sql, params)  # type: ignore[no-untyped-call]


def _durable(changes: Sequence[Change]) -> list[Change]:
    return [c for c in changes if type(c) not in _PASSING]


@contextmanager
def _believed() -> Iterator[None]:
    """What the database answers, in this module's words.  After anything but a refusal (a full disk, a lost file)
    nothing of the batch may be believed."""
    try:
        yield
    except peewee.IntegrityError as error:
        raise Refused(str(error)) from None
    except (peewee.PeeweeException, OSError) as error:
        raise StoreBroken(str(error)) from error


def _together(
    tables: Mapping[type, _Table], changes: Sequence[Change]
) -> Iterator[tuple[type, type, Sequence[Any]]]:
    """What ``changes`` come to, table by table: (kind, Insert | Put | Remove, rows).  In their own order, one by one,
    if a row is inserted or removed that was changed before."""
    last: dict[tuple[type, str], tuple[type, Any]] = {}
    for change in changes:
        kind = type(change.row)
        key = kind, getattr(change.row, tables[kind].key)
        before = last.get(key)
        if before is not None and not isinstance(change, Put):
            yield from ((type(c.row), type(c), [c.row]) for c in changes)
            return
        last[key] = (Insert if before is not None and before[0] is Insert else type(change)), change.row
    grouped: dict[tuple[type, type], list[Any]] = {}
    for (kind, _), (how, row) in last.items():
        grouped.setdefault((kind, how), []).append(row)
    for (kind, how), rows in grouped.items():
        yield kind, how, rows


def _lock(path: Path) -> TextIO:
    lock = os.fdopen(os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read(32).strip()
        lock.close()
        raise EucaError(
            "state_conflict",
            f"the database {path} is in use by the process {holder or 'unknown'}: ask the running cloud "
            "controller instead, or stop it first",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
