"""Seeded histories of a whole cloud, judged by everything that happened in them.

A seed that fails prints itself and the story of the machines concerned; the same seed gives the same story:

    pytest tests/simulation/test_world.py -k seed-17
"""

from __future__ import annotations

from collections import Counter

import pytest

from euca_rpc.clock import MINUTE
from euca_rpc.cloud import leases, waiting
from euca_rpc.testing.campaign import Campaign
from euca_rpc.testing.history import Broken

SEEDS = range(20)
CAPTURED = (101, 102, 104, 105)
RESTLESS = (301, 302, 303, 304)
LEASED = (201, 202, 203, 204, 205, 206)
QUEUED = (301, 302, 303, 304, 305, 306)
MORE = range(1000, 1400)


def live(memory, seed: int, **values) -> Campaign:
    campaign = Campaign(memory / str(seed), seed, **values)
    try:
        campaign.run()
    finally:
        campaign.world.close()
    return campaign


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_whatever_happens_no_promise_is_broken(memory, seed, record_property):
    world = live(memory, seed).world
    record_property("simulated seconds per second", round(world.speed))
    assert world.history.asked, "nobody asked for anything: this seed shows nothing"
    print(f"seed {seed}: {world.timeline.events} events, {world.speed:.0f} simulated seconds per second")


def test_images_made_meanwhile_are_whole_or_failed_with_a_reason(memory):
    outcomes = Counter()
    for seed in CAPTURED:
        outcomes.update(live(memory, seed, captures=True).photographer.outcomes())
    print(dict(outcomes))
    assert outcomes["available"] > 20
    assert outcomes["failed"] > 3
    assert outcomes["deregistered"] > 3


def test_launches_that_wait_are_placed_once_or_given_up_whatever_happens(memory):
    waited, placed, given_up = 0, 0, 0
    for seed in QUEUED:
        history = live(memory, seed, queues=True, minutes=10).world.history
        for rows in history.ledger.values():
            if not rows[0][1].node:
                waited += 1
                placed += bool(rows[-1][1].node)
                given_up += rows[-1][1].reason_code == waiting.IN_VAIN
    print(f"{waited} machines waited, {placed} of them were placed, {given_up} were given up")
    assert placed > 20
    assert given_up > 3


def test_who_is_told_to_go_has_the_time_and_only_empty_nodes_sleep_whatever_happens(memory):
    kinds, evicted = Counter(), 0
    for seed in RESTLESS:
        world = live(memory, seed, restless=True, minutes=8).world
        kinds.update(line.what for line in world.history.lines if line.what in ("sleep", "wake"))
        evicted += sum(rows[-1][1].reason_code == leases.EVICTED for rows in world.history.ledger.values())
    print(f"{evicted} machines were evicted; {dict(kinds)}")
    assert evicted > 10
    assert kinds["sleep"] > 20
    assert kinds["wake"] > 20


def test_leases_end_on_time_whatever_happens(memory):
    ended = 0
    for seed in LEASED:
        history = live(memory, seed, lease=3 * MINUTE, minutes=8).world.history
        ended += sum(rows[-1][1].reason_code == leases.ENDED for rows in history.ledger.values())
    print(f"{ended} leases ended")
    assert ended > 20


def test_a_lease_that_nobody_ends_is_noticed(memory, monkeypatch):
    monkeypatch.setattr(leases, "decide", lambda view, now: ([], None))
    with pytest.raises(Broken, match=r"the lease of .* ended"):
        live(memory, LEASED[0], lease=3 * MINUTE, minutes=8)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whatever_happens_for_a_long_time(memory):
    for seed in MORE:
        live(memory, seed, minutes=30, faults_every=15, captures=seed % 4 == 0)


def test_the_same_seed_gives_the_same_story(memory):
    first, second = (live(memory / name, 5, minutes=3).world.history.story(last=10**6) for name in "ab")
    assert first == second
    assert len(first.splitlines()) > 40


def test_faults_and_clients_do_reach_everything(memory):
    """The net is only as good as what swims into it: over the seeds, all of these must have happened."""
    notes, symbols, whats, ends = "", set(), set(), set()
    for seed in range(6):
        history = live(memory, seed).world.history
        notes += history.story(last=10**6)
        symbols |= {a.symbol for a in history.asked}
        whats |= {a.what for a in history.asked if a.outcome == "answered"}
        ends |= {line.end for line in history.lines if line.what == "end"}
    for word in (
        "KILLED euca.cloud",
        "KILLED euca.cluster",
        "KILLED euca.node",
        "POWER",
        "LINK",
        "FENCE",
        "LIES",
        "→ lost",
    ):
        assert word in notes, word
    assert {"capacity_exhausted", "state_conflict"} <= symbols
    assert whats == {"launch", "terminate", "stop", "start", "reboot", "describe"}
    assert ends == {"guest", "crashed"}
