"""How alike a policy is to the scheduler whose work a trace records, one decision at a time.

A replay drifts away from the record with its first different decision.  Here each decision is asked for on the site as
the record has it at that moment, and then the record goes on; so one difference is one difference.  The engine and
the policies are those of a live cloud.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from euca_rpc.clock import ManualClock, Micros
from euca_rpc.errors import EucaError
from euca_rpc.lab.hosts import ARCHITECTURE
from euca_rpc.lab.record import host_of
from euca_rpc.lab.site import Site
from euca_rpc.lab.workload import Workload
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target
from euca_rpc.types import Size


@dataclass(frozen=True, slots=True)
class Alike:
    requests: int
    same: int  # decisions on the recorded node
    next_in_turn: (
        int  # recorded decisions for the first node that fits after the one used last, in order of id
    )
    overcommitted: int  # recorded decisions for a node that had no room


@dataclass(frozen=True)
class _Shot:
    number: int
    targets: Mapping[str, Target]
    changed: tuple[str, ...] = field(default=())

    def targets_changed(self, since: int) -> Iterable[str] | None:
        return self.changed if since == self.number - 1 else None


def one_step_ahead(workload: Workload, site: Site, policy: str) -> Alike:
    """parameter_invalid: a request's node is none of the site's."""
    hosts = list(site.hosts)
    targets = {
        id: Target(id, id.partition("/")[0], ARCHITECTURE, host.offer, Size(), True)
        for id, host in site.hosts.items()
    }
    clock = ManualClock()
    engine = Engine(load([policy]), cloud_policy=policy, clock=clock, isolation=Inline())
    ends: list[tuple[Micros, int, str, Size]] = []
    same = turn = over = 0
    last = -1
    shot = _Shot(1, dict(targets))
    for number, request in enumerate(workload.requests, 1):
        touched = []
        while ends and ends[0][0] <= request.at:
            _, _, id, size = heapq.heappop(ends)
            targets[id] = replace(
                targets[id], claimed=targets[id].claimed - size, machines=targets[id].machines - 1
            )
            touched.append(id)
        shot = _Shot(shot.number + 1, dict(targets), (*shot.changed, *touched))
        node = host_of(request.recorded, hosts) if request.count == 1 else None
        if node is None:
            raise EucaError(
                "parameter_invalid",
                f"{workload.name}: {request.key} names none of the site's nodes, or several",
            )
        size = request.size.times(request.count)
        fits = [id for id in hosts if request.size.fits(targets[id].room)]
        over += node not in fits
        cycle = [id for id in (hosts[last + 1 :] + hosts[: last + 1]) if id in fits]
        turn += cycle[:1] == [node]
        same += _asked(engine, shot, request.size) == node
        targets[node] = replace(
            targets[node],
            claimed=targets[node].claimed + size,
            machines=targets[node].machines + request.count,
            last_used=number,
        )
        last = hosts.index(node)
        shot = replace(shot, changed=(node,))
        if request.duration is not None:
            heapq.heappush(ends, (request.at + request.duration, number, node, size))
    return Alike(len(workload.requests), same, turn, over)


def _asked(engine: Engine, shot: _Shot, size: Size) -> str | None:
    launch = Launch("lab", "lab", "lab", size, ARCHITECTURE, 1, 1)
    cls = LaunchClass(f"c{size.cores}", size, ARCHITECTURE)
    view = PolicyView(0, shot.targets)
    try:
        return engine.place(launch, cls, shot, view, count_min=1, count_max=1, zone_policy={}).nodes[0]
    except EucaError:
        return None
