"""Whatever daemon is killed, guests run on and nothing is started twice; a lost host comes back with its machines."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually

EAST, WEST = "zone-a-host-1", "zone-b-host-1"
PARTS = (
    *("nameserver", "cloud", "images", "cluster-zone-a", "cluster-zone-b"),
    *(f"node@{EAST}", f"node@{WEST}", f"libvirtd@{EAST}", f"virtlogd@{EAST}", f"node-{EAST}"),
)
SOME = ("cloud", "cluster-zone-a", f"node@{EAST}", f"libvirtd@{EAST}")


def lives(guests: list[Any]) -> list[Any]:
    return [guest.up(30.0) for guest in guests]


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_daemon_costs_no_guest_anything(real: Any, pair: list[Any], part: str) -> None:
    """``node-zone-a-host-1`` is the process that holds a host's namespaces from outside."""
    before, qemus = lives(pair), real.qemus()
    rows = {id: row["State"] | {"address": row["PublicIpAddress"]} for id, row in shown(real, pair).items()}
    killed_at = datetime.now(UTC)
    seconds = real.kill_part(part)
    eventually("everything answers", real.ready, 60.0)
    for guest in pair:
        eventually("its node answers", lambda guest=guest: told_by_the_node(real, guest, killed_at), 30.0)
    after = lives(pair)
    assert [life.boot_id for life in after] == [life.boot_id for life in before]
    assert all(now.uptime > then.uptime for now, then in zip(after, before, strict=True))
    assert [life.written for life in after] == [f"of {guest.id}" for guest in pair]
    assert real.qemus() == qemus, "the very same processes"
    assert rows == {
        id: row["State"] | {"address": row["PublicIpAddress"]} for id, row in shown(real, pair).items()
    }
    print(f"{part} was replaced after {seconds:.2f} s")


@pytest.mark.parametrize("parts", [SOME, pytest.param(PARTS, marks=pytest.mark.long)], ids=["some", "each"])
def test_launches_in_flight_while_daemons_are_killed_end_well_or_with_a_reason(
    real: Any, pair: list[Any], parts: tuple[str, ...]
) -> None:
    """One launch just before each kill; at the end every one of them runs and answers, or says why it does not."""
    launched: list[str] = []
    try:
        for number, part in enumerate(parts):
            launched += accepted(real, real.zones["zone-b" in part])
            time.sleep(0.15 * (number % 4))  # killed at different depths
            real.kill_part(part)
        eventually("every launch has ended", lambda: settled(real, launched), 120.0)
        states = real.states(*launched)
        for id in launched:
            if states[id] == "running":
                real.guest(id).up(120.0)
                assert len(real.qemus()[id]) == 1
                assert real.booted(id) == 1, f"{id} was started {real.booted(id)} times"
            else:
                assert all(real.reason(id)), f"{id} ended without a reason"
                assert id not in real.qemus()
        print("in flight:", {id: (state, real.reason(id)[1]) for id, state in states.items()})
        assert "running" in states.values()
    finally:
        real.terminate(launched)
        real.until("terminated", launched, 60.0)
    eventually("nothing of them runs", lambda: not set(launched) & set(real.qemus()), 20.0)


def test_a_lost_host_comes_back_with_the_same_machines_from_the_same_disks(
    real: Any, pair: list[Any]
) -> None:
    before, addresses = lives(pair), [(guest.address, guest.private) for guest in pair]
    booted = [real.booted(guest.id) for guest in pair]
    began = time.monotonic()
    for host in (EAST, WEST):
        os.kill(real.init(host), signal.SIGKILL)
    after = [guest.again(life) for guest, life in zip(pair, before, strict=True)]
    print(f"both hosts lost and their machines answering again after {time.monotonic() - began:.1f} s")
    assert [life.written for life in after] == [f"of {guest.id}" for guest in pair]
    found = [real.guest(guest.id) for guest in pair]
    assert [(guest.address, guest.private) for guest in found] == addresses
    assert [real.booted(guest.id) for guest in pair] == [count + 1 for count in booted]
    eventually(
        "shown as running", lambda: set(real.states(*(g.id for g in pair)).values()) == {"running"}, 20.0
    )


def settled(real: Any, ids: list[str]) -> bool:
    return set(real.states(*ids).values()) <= {"running", "terminated"}


def shown(real: Any, guests: list[Any]) -> dict[str, Any]:
    return real.describe(*(guest.id for guest in guests))


def accepted(real: Any, zone: str) -> list[str]:
    """What was killed a moment ago may not be back: asked again under one token, so never launched twice."""
    token = f"in-flight-{time.monotonic_ns()}"
    return eventually(
        "the launch is accepted", lambda: real.launch(KeyName="real", zone=zone, ClientToken=token), 30.0
    )


def told_by_the_node(real: Any, guest: Any, since: datetime) -> bool:
    """The console as the node has it now: the whole chain of controllers answers again."""
    answer = real.client().get_console_output(InstanceId=guest.id)
    return answer["Timestamp"] >= since and real_cloud.READY in answer["Output"]
