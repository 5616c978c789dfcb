"""The store and the journal: durable or not answered, each request on its own, one process at a time."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import peewee
import pytest

from euca_rpc.clock import ManualClock
from euca_rpc.cloud.changes import Insert, Outcome, Put
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.store import MIGRATIONS, Store, StoreBroken
from euca_rpc.cloud.view import View
from euca_rpc.daemons.cloud import start_writer
from euca_rpc.errors import EucaError
from euca_rpc.types import Account, Instance, Intent, Password, Seen, User, UserStatus, Zone


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "a.db")
    yield opened
    opened.close()


def zone(name):
    return Outcome((Insert(Zone(name, 1)),), result=name)


def test_every_kind_of_row_comes_back_as_it_went(store):
    row = Instance(
        "i-00000001", "r-1", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1.small", 1, 128, 10, "z", "z/h", None, "",
        b"\0data", "d0:0d", "10.0.0.1", "127.0.0.9", None, "terminate", "regular", 5,
        intent=Intent.STOPPED, seen=Seen.RUNNING, restarts=(1, 2), deadline=None, attempted=True,
    )  # fmt: skip
    with store.transaction() as write:
        write([Insert(row)], [])
    assert store.one(Instance, "i-00000001") == row


def test_one_refused_request_takes_nothing_with_it(store):
    journal = Journal(store, View(), ManualClock())
    journal.wake = lambda: None

    def half_then_fail(view, now):
        return Outcome((Insert(Account("1", "a", 1)), Insert(Zone("taken", 1))))

    def refuses(view, now):
        raise EucaError("denied", "no")

    futures = [
        journal.submit(v)
        for v in (lambda v, n: zone("taken"), half_then_fail, refuses, lambda v, n: zone("b"))
    ]
    journal.pump_all()
    assert futures[0].result() == "taken"
    assert futures[3].result() == "b"
    with pytest.raises(EucaError, match="no"):
        futures[2].result()
    with pytest.raises(Exception, match="UNIQUE"):
        futures[1].result()
    assert sorted(journal.view.zones) == ["b", "taken"]
    assert not journal.view.accounts
    assert store.one(Account, "1") is None


def test_a_verb_sees_the_ones_before_it_in_its_batch(store):
    journal = Journal(store, View(), ManualClock())
    journal.wake = lambda: None
    journal.submit(lambda v, n: zone("first"))
    seen = journal.submit(lambda v, n: Outcome(result=sorted(v.zones)))
    journal.pump_all()
    assert seen.result() == ["first"]


def test_who_need_not_wait_commits_on_its_own_thread_with_what_is_queued(store):
    journal = Journal(store, View(), ManualClock())
    woken, threads = [], []
    journal.wake = lambda: woken.append(1)
    journal.published = lambda view, changes: threads.append(threading.current_thread())
    queued = journal.submit(lambda v, n: zone("first"))
    assert (len(woken), queued.done()) == (1, False)
    assert journal.do(lambda v, n: Outcome(result=sorted(v.zones))) == ["first"]
    assert queued.result(0) == "first"
    assert (len(woken), threads) == (1, [threading.current_thread()])


def test_what_is_queued_while_somebody_commits_is_committed_next(store):
    """Whoever holds the journal looks again after letting go: nothing is left in the queue, and nobody is told twice."""
    journal = Journal(store, View(), ManualClock())
    work, later = threading.Event(), []
    journal.wake = work.set

    def busy(view, now):
        later.append(journal.submit(lambda v, n: zone("second")))
        assert not work.is_set(), "who commits looks again: nobody needs to be woken"
        return zone("first")

    journal.do(busy)
    assert work.is_set()
    journal.pump_all()
    assert later[0].result(0) == "second"


def test_many_threads_commit_each_its_own_and_nothing_is_lost(store):
    journal = Journal(store, View(), ManualClock())
    start_writer(journal, store)
    answers, queued = [], []

    def count(view, now):
        return Outcome((Insert(Account(f"{len(view.accounts):012d}", "a", 1)),), result=len(view.accounts))

    def client():
        for turn in range(40):
            answers.append(journal.do(count))
            if turn % 8 == 0:
                queued.append(journal.submit(count))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    answers += [future.result(10) for future in queued]
    assert sorted(answers) == list(range(8 * 45))
    assert len(store.select(Account)) == 8 * 45


def test_the_log_is_merged_once_it_is_quiet_and_commits_go_on(store, tmp_path):
    journal = Journal(store, View(), ManualClock())
    start_writer(journal, store)
    path = Path(store.database.database)

    def there() -> int:
        """Accounts in the file without its log."""
        alone = shutil.copy(path, tmp_path / "alone.db")
        with closing(sqlite3.connect(alone)) as file:
            return file.execute("SELECT COUNT(*) FROM account").fetchone()[0]

    def put(number: int) -> None:
        journal.do(lambda view, now: Outcome((Insert(Account(f"{number:012d}", "a", 1)),)))

    store.merge()
    for number in range(20):
        put(number)
    assert there() == 0
    until = time.monotonic() + 10
    while there() < 20 and time.monotonic() < until:
        time.sleep(0.05)
    assert there() == 20
    put(20)
    assert len(store.select(Account)) == 21


def test_a_log_that_cannot_be_merged_is_said_and_harms_nothing(store, monkeypatch, caplog):
    refuse = Mock(side_effect=peewee.OperationalError("database or disk is full"))
    monkeypatch.setattr(store._reading, "execute_sql", refuse)
    store.merge()
    assert "not merged into its file: database or disk is full" in caplog.text


def test_who_reads_cannot_write(store):
    query = store.tables[Account].model.insert(id="1" * 12, name="a", created_at=1)
    with pytest.raises(peewee.OperationalError, match="readonly"):
        query.bind(store._reading).execute()


def test_an_id_that_was_used_before_is_drawn_again(store):
    journal = Journal(store, View(), ManualClock())
    journal.do(lambda v, n: zone("old"))
    journal.view = View()  # the row has left the view
    names = iter(["old", "old", "new"])
    assert journal.do(lambda v, n: zone(next(names))) == "new"


def test_a_failed_commit_answers_nobody_and_ends_the_process(store):
    journal = Journal(store, View(), ManualClock())
    broken = []
    journal.broken = broken.append
    journal.wake = lambda: None
    future = journal.submit(lambda v, n: zone("z"))

    class FullDisk:
        def cursor(self):
            return self

        def execute(self, sql, params=None):
            raise sqlite3.OperationalError("database or disk is full")

        def __getattr__(self, name):
            return getattr(real, name)

    real, store.database = store.database, FullDisk()
    with pytest.raises(StoreBroken, match="full"):
        journal.pump_all()
    store.database = real
    assert broken
    assert not future.done()
    assert not journal.view.zones


def test_a_newer_schema_is_refused(tmp_path):
    store = Store(tmp_path / "a.db")
    store.database.execute_sql("INSERT INTO schema_version (version) VALUES (?)", (len(MIGRATIONS) + 1,))
    store.close()
    with pytest.raises(EucaError, match="run the newer release"):
        Store(tmp_path / "a.db")


def test_a_second_process_is_refused_and_told_who_holds_it(store, tmp_path):
    code = "import sys; from pathlib import Path; from euca_rpc.cloud.store import Store; Store(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.db")], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"in use by the process {os.getpid()}" in done.stderr


def test_the_view_is_the_disk(bench):
    """Whatever was done: the published view equals the one that a restart would read."""
    from euca_rpc.machines import MachineReport
    from euca_rpc.types import LaunchRequest

    bench.add_node()
    core = bench.cloud.core.instances
    ids = core.launch(
        bench.caller, LaunchRequest("emi-00000001", 3, 3, client_token="t")
    ).reservation.instance_ids
    bench.cloud.step()
    bench.report(machines=[MachineReport(i, 1, 0, "running") for i in ids])
    core.terminate(bench.caller, ids[:1])
    core.stop(bench.caller, ids[1:2])
    fresh = open_view(bench.cloud.store, bench.clock.now())
    for name in (
        "accounts", "users", "access_keys", "quotas", "vm_types", "images", "keys", "reservations", "instances", "tokens",
        "zones", "nodes", "settings", "user_names", "key_names", "addresses", "tallies", "on_node", "unsettled", "ended", "by_account",
    ):  # fmt: skip
        assert getattr(fresh, name) == getattr(bench.view, name), name
    assert {k: v for k, v in fresh.claimed.items() if any(v.parts())} == {
        k: v for k, v in bench.view.claimed.items() if any(v.parts())
    }


def test_put_changes_a_row_in_place(store):
    with store.transaction() as write:
        write([Insert(Zone("z", 1)), Put(Zone("z", 1, "least_full"))], [])
    assert store.one(Zone, "z").policy == "least_full"


def test_users_of_the_first_schema_keep_what_they_were(tmp_path):
    """The table as the first release made it: a switch, no profile."""
    path = tmp_path / "old.db"
    Store(path).close()
    with sqlite3.connect(path) as old:
        old.executescript(
            """
            DROP TABLE "user"; DROP TABLE password; DROP TABLE mail; DELETE FROM schema_version WHERE version > 1;
            CREATE TABLE "user" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "account_id" TEXT NOT NULL,
            "is_admin" INTEGER NOT NULL, "enabled" INTEGER NOT NULL, "created_at" INTEGER NOT NULL,
            "email" TEXT NOT NULL);
            INSERT INTO "user" VALUES ('u-1', 'ann', '1', 1, 1, 5, 'ann@example.org'), ('u-2', 'bob', '1', 0, 0, 6, '');
            """
        )
    store = Store(path)
    assert store.one(User, "u-1") == User("u-1", "ann", "1", True, UserStatus.ACTIVE, 5, "ann@example.org")
    assert store.one(User, "u-2").status is UserStatus.DISABLED
    with store.transaction() as write:
        write(
            [
                Insert(User("u-3", "eve", "1", False, UserStatus.UNCONFIRMED, 7)),
                Insert(Password("u-3", "h", 7)),
            ],
            [],
        )
    store.close()
    again = Store(path)  # migrated once
    assert again.one(User, "u-3").status is UserStatus.UNCONFIRMED
    again.close()
