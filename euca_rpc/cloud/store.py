"""The durable half: rows of `types` in tables of the same names, through peewee, and nothing else.

One table per kind of row, one column per field, made from the dataclasses; an `event` table that is only appended to.
One writer at a time (the journal); any thread may
read, on a connection of its own, and sees what is committed.  SQLite in WAL mode with ``synchronous=FULL``: when `transaction` ends, it is on the disk.  The SQL
is portable (inserts, upserts by primary key, deletes); nothing outside this file may know which database it is.

`transaction` takes a batch: each request in a savepoint of its own, so that one that the database refuses (an id that
was used before) takes nothing with it.  If the commit itself fails or is in doubt, `StoreBroken` tells the daemon to
end: what is on the disk decides, at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import types as pytypes
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import peewee

from euca_rpc.cloud.changes import Change, Forget, Insert, Put, Remove, Soft
from euca_rpc.errors import EucaError
from euca_rpc.types import (
    AccessKey,
    Account,
    Certificate,
    Event,
    Image,
    Instance,
    KeyPair,
    Node,
    Quota,
    Reservation,
    Setting,
    Tag,
    Token,
    Upload,
    Usage,
    User,
    VmType,
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
)
_KEYS = {VmType: "name", Zone: "name"}  # primary keys that are not "id"
_INDEXED = {"Instance": ("ended_at",), "Event": ("subject", "kind"), "Usage": ("instance_id",)}


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
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return peewee.TextField, null, str, annotation
    if annotation is bool:
        return peewee.BooleanField, null, _same, bool
    if annotation is int:
        return peewee.BigIntegerField, null, _same, _same
    if annotation is bytes:
        return peewee.BlobField, null, _same, bytes
    if annotation is str:
        return peewee.TextField, null, _same, _same
    raise TypeError(f"no column for {annotation!r}")


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
        meta = type("Meta", (), {"database": database, "table_name": kind.__name__.lower()})
        self.model: Any = type(kind.__name__, (peewee.Model,), {**columns, "Meta": meta})
        model: Any = self.model
        self.to_send = [
            (n, out) for n, out in zip(self.names, self.out, strict=True) if not (kind is Event and n == "id")
        ]
        model_fields = [getattr(model, n) for n, _ in self.to_send]
        row = dict.fromkeys(model_fields, None)
        self.insert_sql = model.insert(row).sql()[0]
        others = [f for f in model_fields if f.name != self.key]
        upsert = model.insert(row).on_conflict(conflict_target=[getattr(model, self.key)], preserve=others)
        self.put_sql = upsert.sql()[0]
        target = getattr(model, self.key)
        self.delete_sql = model.delete().where(target == "").sql()[0]

    def params(self, row: Any) -> list[Any]:
        return [getattr(row, n) if out is None else out(getattr(row, n)) for n, out in self.to_send]

    def load(self, found: Sequence[Any]) -> Any:
        return self.kind(*[back(value) for back, value in zip(self.back, found, strict=True)])


def _nullable(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda v: None if v is None else convert(v)


# ------------------------------------------------------------------------------------------------ migrations
def _first(store: Store) -> None:
    store.database.create_tables([t.model for t in store.tables.values()])


MIGRATIONS: tuple[Callable[[Store], None], ...] = (_first,)  # forward only; number = position + 1


class Store:
    """Opened by one process at a time: it holds a lock on ``<path>.lock`` for life."""

    def __init__(self, path: Path) -> None:
        self._lock = _lock(path)
        self.database = peewee.SqliteDatabase(
            str(path),
            pragmas={"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1, "busy_timeout": 5000},
        )
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
        self.database.close()
        self._lock.close()

    # --------------------------------------------------------------------------------------------- reading
    def rows(self, ended_since: int) -> Iterator[Any]:
        """All rows that the view holds: ended instances and their reservations only since that moment."""
        for kind in ROWS:
            if kind in (Usage, Instance, Reservation):
                continue
            yield from self.select(kind)
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
        return [table.load(found) for found in query.tuples()]

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

    # --------------------------------------------------------------------------------------------- writing
    @contextmanager
    def transaction(self) -> Iterator[Callable[[Sequence[Change], Sequence[Event]], None]]:
        """One transaction; it hands out a ``write`` for the changes and events of one request.  ``write`` raises
        Refused, and has written nothing, if the database does not take them.  When the block ends without StoreBroken,
        everything is on the disk."""
        try:
            with self.database.atomic():
                yield self._write
        except (peewee.PeeweeException, OSError) as error:
            raise StoreBroken(str(error)) from error

    def _write(self, changes: Sequence[Change], events: Sequence[Event]) -> None:
        try:
            with self.database.savepoint():
                for change in changes:
                    self._write_one(change)
                table = self.tables[Event]
                for event in events:
                    self._execute(table.insert_sql, table.params(event))
        except peewee.IntegrityError as error:
            raise Refused(str(error)) from None
        except (
            peewee.PeeweeException
        ) as error:  # a full disk, a lost file: nothing of the batch may be believed
            raise StoreBroken(str(error)) from error

    def _write_one(self, change: Change) -> None:
        if isinstance(change, Soft | Forget):
            return
        table = self.tables[type(change.row)]
        if isinstance(change, Insert):
            self._execute(table.insert_sql, table.params(change.row))
        elif isinstance(change, Put):
            self._execute(table.put_sql, table.params(change.row))
        elif isinstance(change, Remove):
            self._execute(table.delete_sql, (getattr(change.row, table.key),))

    def _execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        return self.database.execute_sql(sql, params)  # type: ignore[no-untyped-call]


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
