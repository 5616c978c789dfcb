"""`euca up` itself is killed: daemons and guests go on, the next `euca up` finds them, `euca down` ends all of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from euca_rpc.daemons import pids

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually


def supervisor(real: Any) -> int | None:
    return pids.living(real.home / "run" / "up.pid")


def kill_supervisor(real: Any) -> None:
    pid = supervisor(real)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually("it is gone", lambda: supervisor(real) is None, 10.0)


def test_a_killed_supervisor_is_missed_by_nobody_and_the_next_one_takes_over(
    real: Any, pair: list[Any]
) -> None:
    before, qemus, inits = [guest.up() for guest in pair], real.qemus(), [real.init(h) for h in real.hosts]
    daemons = real.daemons
    kill_supervisor(real)
    assert real.daemons == daemons
    assert set(real.states(*(guest.id for guest in pair)).values()) == {"running"}
    real.start()
    assert supervisor(real) is not None
    assert real.ready()
    assert [real.init(host) for host in real.hosts] == inits, "the hosts were not switched off"
    assert real.qemus() == qemus
    after = [guest.up() for guest in pair]
    assert [life.boot_id for life in after] == [life.boot_id for life in before]
    assert all(now.uptime > then.uptime for now, then in zip(after, before, strict=True))
    # and it really holds them: what dies now comes back, hosts too
    assert real.kill_part("cluster-zone-a") < 15.0
    os.kill(real.init("zone-a-host-1"), signal.SIGKILL)
    assert pair[0].again(after[0]).written == f"of {pair[0].id}"


@pytest.mark.long
def test_down_ends_what_a_killed_supervisor_left_and_up_brings_the_machines_back(
    real: Any, pair: list[Any]
) -> None:
    before, spaces = [guest.up() for guest in pair], [real_cloud.pid_space(real.init(h)) for h in real.hosts]
    kill_supervisor(real)
    real.stop()  # which looks for whatever names the home
    assert not [one for space in spaces for one in real_cloud.members(space)]
    assert not list(real_cloud.mounted(real.home))
    assert real.refused([guest.address for guest in pair]) == [guest.address for guest in pair]
    real.start()
    after = [guest.again(life) for guest, life in zip(pair, before, strict=True)]
    assert [life.written for life in after] == [f"of {guest.id}" for guest in pair]
    assert [real.guest(guest.id) for guest in pair] == pair
