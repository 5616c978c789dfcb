"""The ledger: what the usage rows add up to is what a replay of the event table says."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict

import pytest

from euca_rpc.cli.ledger import COLUMNS, sheet
from euca_rpc.clock import HOUR, MINUTE, SECOND, iso
from euca_rpc.cloud import accounts, admin, lifecycle, nodes
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport
from euca_rpc.types import Caller, LaunchRequest


def replay(bench, since, until):
    """From events alone: user → seconds × (1, cores, memory, disk)."""
    sizes, users, began = {}, {}, {}
    used = defaultdict(lambda: [0, 0, 0, 0])

    def close(id, at):
        start = began.pop(id, None)
        if start is None:
            return
        seconds = (min(at, until) - since) // SECOND - (max(start, since) - since) // SECOND
        if min(at, until) > max(start, since):
            for place, size in enumerate((1, *sizes[id])):
                used[users[id]][place] += seconds * size

    for e in reversed(bench.cloud.store.events(limit=100_000)):
        facts = json.loads(e.facts)
        if e.kind == "instance.launched":
            users[e.subject], sizes[e.subject] = e.actor, facts["size"]
        elif e.kind == "instance.seen" and facts["seen"] == "running":
            began.setdefault(e.subject, e.at)
        elif e.kind in ("instance.seen", "instance.fenced"):
            close(e.subject, e.at)
    for id in list(began):
        close(id, until)
    return {user: tuple(sums) for user, sums in used.items() if any(sums)}


class Town:
    """Machines on two nodes that do what they are told, or lose their power."""

    def __init__(self, bench, seed):
        self.bench, self.random = bench, random.Random(seed)
        self.callers = []
        for host in ("h1", "h2"):
            bench.add_node(host=host, cores=6, memory=8192)
        account = None
        for name in ("ann", "ben", "bob"):  # ann and ben share an account
            made = accounts.add_user(bench.caller, bench.cloud.ids, name, account_id=account)
            user = bench.cloud.journal.do(made)
            account = user.account_id if name == "ann" else None
            self.callers.append(accounts.caller_for(user, "test", "req"))

    def turn(self):
        bench, api = self.bench, self.bench.cloud.core.instances
        caller = self.random.choice(self.callers)
        own = [i for i in bench.view.instances.values() if i.created_by == caller.user_id and not i.ended_at]
        what = self.random.choice(["launch", "launch", "stop", "start", "terminate"])
        try:
            if what == "launch":
                api.launch(
                    caller,
                    LaunchRequest("emi-00000001", vm_type=self.random.choice(["m1.small", "c1.medium"])),
                )
            elif own:
                getattr(api, what)(caller, [self.random.choice(own).id])
        except EucaError:
            pass
        bench.clock.advance(self.random.randrange(5 * MINUTE))  # not long enough for a launch to be given up
        for host in ("h1", "h2"):
            self.report(host)

    def report(self, host):
        bench = self.bench
        node = bench.view.nodes[f"open/{host}"]
        if node.admin_state != "active":
            return
        said = []
        for i in bench.view.instances.values():
            if i.node != node.id or i.ended_at is not None or not i.attempted:
                continue
            end = ""
            if i.intent == "terminated":
                seen = "absent"
            elif i.intent == "stopped":
                seen, end = "stopped", "asked"
            elif self.random.random() < 0.1 and lifecycle.state(i) == "running":
                seen, end = "stopped", self.random.choice(["host", "guest", "crashed"])
            else:
                seen = self.random.choice(["preparing", "running"]) if i.running_since is None else "running"
            said.append(MachineReport(i.id, i.generation, i.reboots, seen, end=end))
        bench.report(host=host, machines=said)


@pytest.mark.parametrize("seed", range(4))
def test_totals_are_those_of_a_replay_of_the_event_table(bench, seed, reopen):
    began = bench.clock.now()
    town = Town(bench, seed)
    for _ in range(120):
        town.turn()
    bench.cloud.journal.do(nodes.fence(bench.caller, "open/h2"))
    for _ in range(10):
        town.turn()
    now = bench.clock.now()
    cuts = sorted(town.random.randrange(began, now) for _ in range(4))
    for since, until in [(began, now), (cuts[0], cuts[3]), (cuts[1], cuts[2])]:
        lines = bench.cloud.core.history.ledger(bench.caller, since, until)
        found = {
            one.user: (one.instance_seconds, one.core_seconds, one.memory_mb_seconds, one.disk_gb_seconds)
            for one in lines
        }
        expected = replay(bench, since, until)
        assert {user: sums for user, sums in found.items() if any(sums)} == expected
        if (since, until) == (began, now):
            whole = lines
            assert len(expected) == 3, "little was used: the test tests little"
    again = reopen(bench)
    assert again.cloud.core.history.ledger(again.caller, began, now) == whole
    again.cloud.store.close()


def test_a_user_sees_the_own_account_and_the_command_hours(bench):
    town = Town(bench, 0)
    ann = town.callers[0]
    for caller in town.callers:
        bench.cloud.core.instances.launch(caller, LaunchRequest("emi-00000001"))
    bench.cloud.step()
    began = bench.clock.now() + 3 * SECOND
    ids = [MachineReport(i, 1, 0, "running") for i in bench.view.instances]
    bench.report(host="h1", machines=ids)
    bench.clock.advance(90 * MINUTE)
    now = bench.clock.now()
    mine = bench.cloud.core.history.ledger(ann, began - HOUR, now)
    assert [one.user for one in mine] == ["ann", "ben"]
    outsider = Caller("u-x", "x", "9" * 12, False)
    assert bench.cloud.core.history.ledger(outsider, began - HOUR, now) == []
    context = admin.Context(bench.cloud, None, None)
    told = admin.call(context, bench.caller, "ledger", {"until": now + 1000 * HOUR})
    assert told["until"] == iso(now)
    assert [(row["user"], row["instance_hours"]) for row in told["rows"]] == [
        ("ann", 1.5),
        ("ben", 1.5),
        ("bob", 1.5),
    ]
    size = next(iter(bench.view.instances.values())).size
    row = told["rows"][0]
    assert (row["core_hours"], row["memory_gb_hours"], row["disk_gb_hours"]) == (
        1.5 * size.cores, 1.5 * size.memory_mb / 1024, 1.5 * size.disk_gb
    )  # fmt: skip
    half = admin.call(context, bench.caller, "ledger", {"since": began + HOUR, "until": began + 90 * MINUTE})
    assert [row["instance_hours"] for row in half["rows"]] == [0.5] * 3
    with pytest.raises(EucaError, match="end after it begins"):
        admin.call(context, bench.caller, "ledger", {"since": now + HOUR})


def test_no_cell_of_the_csv_is_a_formula():
    hours = dict.fromkeys(COLUMNS[3:], 1.5)
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=x", "a,b", 'say "x"', "plain"]
    rows = [{"account": "100000000001", "account_name": name, "user": name, **hours} for name in names]
    head, *read = csv.reader(io.StringIO(sheet(rows), newline=""))
    assert tuple(head) == COLUMNS
    for name, row in zip(names, read, strict=True):
        assert row[0] == "100000000001"
        assert row[1] == row[2] == ("'" + name if name[0] in "=+-@\t\r" else name)
        assert row[3:] == ["1.500"] * 4
