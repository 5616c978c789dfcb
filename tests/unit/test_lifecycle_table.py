"""The state table, exhaustively: every combination of the two facts, and every report against every row.

`TABLE` is read line by line by people and by the test: `*` stands for every value, the words for one of several.  A
combination that no line or more than one line matches fails, so that the table can be neither short nor ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud import lifecycle
from euca_rpc.machines import MachineReport
from euca_rpc.types import End, Instance, Intent, Seen, Size

NOW = 1_700_000_000 * SECOND

# relation: of the generation last seen to the one that is wanted.  owed: a reboot that was not seen yet
TABLE = """
intent      seen                              relation       attempted  ended  owed │ state          claim   settled
running     running                           current        *          no     no   │ running        all     yes
running     running                           current        *          no     yes  │ running        all     no
running     running                           never|older    *          no     *    │ pending        all     no
running     nothing|preparing                 *              *          no     *    │ pending        all     no
running     stopped|failed|absent             *              *          no     *    │ pending        all     no
stopped     *                                 *              no         no     *    │ stopped        disk    yes
stopped     stopped|absent                    current        yes        no     *    │ stopped        disk    yes
stopped     stopped|absent                    never|older    yes        no     *    │ stopping       all     no
stopped     nothing|preparing|running|failed  *              yes        no     *    │ stopping       all     no
terminated  *                                 *              no         no     *    │ shutting-down  disk    no
terminated  stopped|absent                    current        yes        no     *    │ shutting-down  disk    no
terminated  stopped|absent                    never|older    yes        no     *    │ shutting-down  all     no
terminated  nothing|preparing|running|failed  *              yes        no     *    │ shutting-down  all     no
terminated  *                                 *              *          yes    *    │ terminated     none    yes
"""
COLUMNS = ("intent", "seen", "relation", "attempted", "ended", "owed")
GENERATION = 3
SEEN_GENERATION = {"never": 0, "older": GENERATION - 1, "current": GENERATION}
CLAIMS = {"all": Size(2, 512, 10), "disk": Size(0, 0, 10), "none": Size()}


def lines() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        asked, told = line.split("│")
        found.append((tuple(asked.split()), tuple(told.split())))
    return found


def instance(**values: object) -> Instance:
    made = Instance(
        id="i-0000000a",
        reservation_id="r-0000000a",
        account_id="123456789012",
        created_by="u",
        launch_index=0,
        image_id="emi-0000000a",
        kernel_id=None,
        ramdisk_id=None,
        architecture="x86_64",
        vm_type="m1.large",
        cores=2,
        memory_mb=512,
        disk_gb=10,
        zone="open",
        node="open/h1",
        key_name=None,
        public_key="",
        user_data=b"",
        mac="d0:0d:00:00:00:0a",
        private_address="10.0.0.17",
        public_address="127.0.0.17",
        client_token=None,
        shutdown_behavior="terminate",
        service_class="regular",
        launched_at=NOW - MINUTE,
    )
    return replace(made, **values)


def combinations() -> Iterator[tuple[str, ...]]:
    yes_no = ("yes", "no")
    for combination in product(map(str, Intent), map(str, Seen), SEEN_GENERATION, yes_no, yes_no, yes_no):
        if combination[4] == "yes" and combination[0] != "terminated":
            continue  # only a terminated row ends: `test_ended_means_terminated` shows it
        yield combination


def row_of(combination: tuple[str, ...]) -> Instance:
    intent, seen, relation, attempted, ended, owed = combination
    return instance(
        intent=Intent(intent),
        seen=Seen(seen),
        generation=GENERATION,
        seen_generation=SEEN_GENERATION[relation],
        attempted=attempted == "yes",
        running_since=NOW - MINUTE if relation == "current" and seen in ("running", "nothing") else None,
        ended_at=NOW if ended == "yes" else None,
        reboots=2,
        seen_reboots=1 if owed == "yes" else 2,
        deadline=None if ended == "yes" else NOW + MINUTE,
    )


@pytest.mark.parametrize("combination", list(combinations()), ids=" ".join)
def test_state_claim_and_whether_it_is_settled(combination):
    told = [
        t for asked, t in lines() if all(a == "*" or c in a.split("|") for a, c in zip(asked, combination))
    ]
    assert len(told) == 1, f"{len(told)} lines of the table match {dict(zip(COLUMNS, combination))}"
    state, claim, settled = told[0]
    row = row_of(combination)
    assert lifecycle.state(row) == state
    assert lifecycle.claim(row) == CLAIMS[claim]
    assert lifecycle.settled(row) is (settled == "yes")


# --------------------------------------------------------------------------------------- every row, every report
def rows() -> list[Instance]:
    made = []
    crowded = tuple(NOW - n * MINUTE for n in range(lifecycle.RESTARTS_AN_HOUR))
    for combination in combinations():
        for behavior, restarts in product(("terminate", "stop"), ((), crowded)):
            made.append(replace(row_of(combination), shutdown_behavior=behavior, restarts=restarts))
    return made


def reports() -> list[MachineReport]:
    made = []
    for generation, reboots in product((GENERATION - 1, GENERATION, GENERATION + 1), (0, 2)):
        for seen in Seen:
            for end in ("", *End, "an end of a later release") if seen is Seen.STOPPED else ("",):
                made.append(MachineReport("i-0000000a", generation, reboots, seen, end=end))
    return made


@pytest.mark.parametrize("report", reports(), ids=lambda r: f"{r.generation}-{r.seen}-{r.end}-{r.reboots}")
def test_no_report_raises_resurrects_or_goes_back(report):
    for row in rows():
        seen = lifecycle.observe(row, report, NOW)
        if report.generation != row.generation or row.ended_at is not None:
            assert seen is None, "another generation, or a machine that ended, was listened to"
            continue
        if seen is None:
            continue
        new = seen.row
        assert new.generation in (row.generation, row.generation + 1)
        assert new.version > row.version, "a rendered fragment would stay"
        assert new.reboots == row.reboots
        assert (new.id, new.node, new.mac, new.launched_at) == (row.id, row.node, row.mac, row.launched_at)
        if row.intent is Intent.TERMINATED:
            assert new.intent is Intent.TERMINATED
            assert (new.ended_at is not None) == (report.seen == Seen.ABSENT), "only a tombstone ends it"
        if row.intent is Intent.STOPPED:
            assert new.intent is not Intent.RUNNING
        if new.generation > row.generation:
            assert row.intent is Intent.RUNNING
            assert report.seen == Seen.STOPPED
            assert report.end not in (End.GUEST,)
            assert new.attempted is False
        if not lifecycle.settled(new) and lifecycle.state(new) != lifecycle.RUNNING:
            assert new.deadline is not None, "nothing waits without a deadline"
        assert not (seen.began and seen.ended)
        ran = row.seen in (Seen.RUNNING, Seen.NOTHING) and row.seen_generation == row.generation
        assert seen.began == (report.seen == Seen.RUNNING and not ran)
        assert seen.ended == (report.seen != Seen.RUNNING and ran)
        again = lifecycle.observe(new, report, NOW + SECOND)
        assert again is None, f"the same report again changed {again}"


def test_ended_means_terminated():
    for row, report in product(rows(), reports()):
        seen = lifecycle.observe(row, report, NOW)
        if seen is not None and seen.row.ended_at is not None:
            assert lifecycle.state(seen.row) == lifecycle.TERMINATED
            assert lifecycle.claim(seen.row) == Size()


# ------------------------------------------------------------------------------------------------ what is wanted
def test_a_wish_never_takes_back_a_terminate_and_only_a_start_raises_the_generation():
    for row in rows():
        for wish in (lifecycle.want_terminated, lifecycle.want_stopped):
            new = wish(row, NOW, "code", "reason")
            assert new.generation == row.generation
            if row.intent is Intent.TERMINATED:
                assert new == row
        assert lifecycle.want_started(row, NOW).generation == row.generation + 1
        rebooted = lifecycle.want_rebooted(row, NOW)
        assert (rebooted.reboots, rebooted.generation) == (row.reboots + 1, row.generation)


def test_one_that_never_left_the_cloud_controller_ends_at_once():
    ended = lifecycle.want_terminated(instance(), NOW, "code", "reason")
    assert (lifecycle.state(ended), ended.ended_at) == (lifecycle.TERMINATED, NOW)
    for row in (instance(attempted=True), instance(generation=2)):
        waits = lifecycle.want_terminated(row, NOW, "code", "reason")
        assert lifecycle.state(waits) == lifecycle.SHUTTING_DOWN
        assert waits.deadline is not None


def test_what_follows_when_it_goes_off_by_itself():
    """intent running, seen running; the node says stopped, and why."""
    row = instance(seen=Seen.RUNNING, seen_generation=1, attempted=True, running_since=NOW - MINUTE)
    after: dict[tuple[str, str], tuple[str, int]] = {}
    for end, behavior in product(End, ("terminate", "stop")):
        report = MachineReport(row.id, 1, 0, Seen.STOPPED, end=end)
        seen = lifecycle.observe(replace(row, shutdown_behavior=behavior), report, NOW)
        assert seen is not None
        after[str(end), behavior] = (str(seen.row.intent), seen.row.generation)
    assert after == {
        ("guest", "terminate"): ("terminated", 1),
        ("guest", "stop"): ("stopped", 1),
        **{
            (end, b): ("running", 2)
            for end in ("host", "crashed", "asked", "unknown")
            for b in ("terminate", "stop")
        },
    }


def test_three_restarts_an_hour_and_no_fourth():
    row, at = instance(seen=Seen.RUNNING, seen_generation=1, attempted=True), NOW
    for _ in range(lifecycle.RESTARTS_AN_HOUR):
        fell = MachineReport(row.id, row.generation, 0, Seen.STOPPED, end=End.CRASHED)
        seen = lifecycle.observe(row, fell, at)
        assert seen is not None
        assert seen.row.intent is Intent.RUNNING
        at += 10 * MINUTE
        up = lifecycle.observe(seen.row, MachineReport(row.id, seen.row.generation, 0, Seen.RUNNING), at)
        assert up is not None
        row = up.row
    last = lifecycle.observe(row, MachineReport(row.id, row.generation, 0, Seen.STOPPED, end=End.HOST), at)
    assert last is not None
    assert last.row.intent is Intent.STOPPED
    assert "3 times within an hour" in last.row.reason
    later = lifecycle.observe(
        row, MachineReport(row.id, row.generation, 0, Seen.STOPPED, end=End.HOST), at + HOUR
    )
    assert later is not None
    assert later.row.intent is Intent.RUNNING


def test_silence_changes_a_sentence_and_nothing_else():
    for row in rows():
        if row.ended_at is not None:
            continue
        new = lifecycle.overdue(row, NOW, reachable=False, silence="silent since 10:31:05Z")
        assert "silent since 10:31:05Z" in new.reason
        kept = dict.fromkeys(("deadline", "reason_code", "reason", "version"))
        for name in (f for f in Instance.__slots__ if f not in kept):
            assert getattr(new, name) == getattr(row, name), name
