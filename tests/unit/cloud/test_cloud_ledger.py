"""The ledger: what the usage rows add up to is what a replay of the event table says."""

from __future__ import annotations

import csv
import io
import random
from collections import defaultdict

import pytest

from euca_rpc.cli.ledger import COLUMNS, sheet
from euca_rpc.clock import HOUR, MINUTE, SECOND, iso
from euca_rpc.cloud import accounts, admin, lifecycle, nodes
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.types import Caller, LaunchRequest, Size, Usage
from euca_rpc.wire.codec import pack


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
        facts = e.facts
        if e.kind == "instance.launched":
            users[e.subject], sizes[e.subject] = e.actor, facts["size"]
        elif e.kind == "instance.seen" and facts["seen"] == "running":
            began.setdefault(e.subject, facts.get("since", e.at))
        elif e.kind in ("instance.seen", "instance.fenced"):
            close(e.subject, facts.get("since", e.at))
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


@pytest.mark.parametrize("skew", [0, -2 * HOUR, 30 * MINUTE])  # of the node's clock against the cloud's
@pytest.mark.parametrize("lag", [0, 20 * SECOND])  # since the cluster controller was given the report
def test_what_happened_while_nobody_could_be_told_is_charged_as_it_was(bench, skew, lag):
    """Its node says for how long it has been so, its cluster controller for how long it has known."""
    bench.add_node()
    (made,) = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001")).instances
    id, launched = made.instance.id, bench.clock.now()

    def told(seen, ago):
        bench.clock.advance(60 * SECOND)
        bench.cloud.step()
        theirs = bench.clock.now() + 3 * SECOND - lag + skew  # `answer` lets 3 s pass
        machine = MachineReport(id, 1, 0, seen, since=theirs - ago if ago is not None else 0)
        report = NodeReport(
            "open/h1", "boot-1", "simulated", "x86_64", Size(4, 2048, 100), 1, (machine,), now=theirs
        )
        moment = 7_000_000_000 * SECOND  # the cluster controller's clock may be anywhere
        entry = {
            "heard_at": moment,
            "silent_since": None,
            "trouble": "",
            "version": 1,
            "told_at": moment - lag,
        }
        entry["report"] = pack(report)
        bench.answer("open", {"now": moment, "start_id": "s", "roster": True, "nodes": {"open/h1": entry}})
        return bench.clock.now()

    started = told("running", 8 * SECOND) - 8 * SECOND - lag
    bench.cloud.core.instances.terminate(bench.caller, [id])
    ended = told("absent", 12 * SECOND) - 12 * SECOND - lag
    (usage,) = bench.cloud.store.select(Usage)
    assert (usage.began, usage.ended) == (started, ended)
    assert launched < started < ended < bench.clock.now()


@pytest.mark.parametrize("ago", [10 * HOUR, -10 * HOUR])
def test_a_node_that_lies_of_moments_moves_them_within_what_can_be(bench, ago):
    bench.add_node()
    (made,) = bench.cloud.core.instances.launch(bench.caller, LaunchRequest("emi-00000001")).instances
    row, now = made.instance, bench.clock.now() + MINUTE
    for seen, least in (("running", row.launched_at), ("absent", None)):
        said = lifecycle.observe(row, MachineReport(row.id, 1, 0, seen), now, now - ago)
        least = row.running_since if least is None else least
        assert said.at == (least if ago > 0 else now)
        row, now = said.row, now + MINUTE
