"""What was asked of a cloud, when, and for how long: the input of an experiment.

Moments are microseconds since the workload began, durations microseconds; memory is in MB, disk in GB.  What a source
does not record is named in `Workload.undefined`, and figures that would need it are not made up.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from euca_rpc.clock import HOUR, Micros
from euca_rpc.types import Size

DAY: Micros = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Request:
    """One launch of `count` like machines."""

    key: str  # what the source calls it
    at: Micros
    size: Size  # of each machine
    duration: Micros | None = None  # how long its machines really run; None: beyond the end
    count: int = 1
    user: str = ""
    account: str = ""
    asked: Micros | None = None  # the duration that its user asked for
    hints: tuple[tuple[str, str], ...] = ()
    recorded: str = (
        ""  # the node that the original scheduler chose; of several machines each one's, by spaces
    )
    apart: tuple[
        Micros | None, ...
    ] = ()  # each machine's own duration where they differ; `duration` is the longest
    service_class: str = "regular"  # or "best_effort": the spot market's

    @property
    def durations(self) -> tuple[Micros | None, ...]:
        """Of each of its machines."""
        return self.apart or (self.duration,) * self.count


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    requests: tuple[Request, ...]  # by moment
    undefined: frozenset[str] = frozenset()  # of: users, memory, disk, asked, nodes
    notes: tuple[str, ...] = field(default=())  # what was odd in the source

    @property
    def length(self) -> Micros:
        """Until the last thing that it tells of."""
        return max((r.at + (r.duration or 0) for r in self.requests), default=0)


def resample(workload: Workload, seed: int, block: Micros = DAY) -> Workload:
    """A workload of the same length out of blocks of this one, drawn with replacement (a block bootstrap): what begins
    together stays together, so bursts and the hours of the day survive.  Seed 0 is the workload itself.

    Source: B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, section 8.6 (moving blocks; here they
    begin at whole multiples of ``block``)."""
    if seed == 0 or not workload.requests:
        return workload
    draw = random.Random(f"resample/{seed}")  # noqa: S311  repeatable on purpose
    last = workload.requests[-1].at
    blocks: list[list[Request]] = [[] for _ in range(last // block + 1)]
    for request in workload.requests:
        blocks[request.at // block].append(request)
    found: list[Request] = []
    for place in range(len(blocks)):
        chosen = draw.randrange(len(blocks))
        shift = (place - chosen) * block
        found += [replace(r, at=r.at + shift, key=f"{place}/{r.key}") for r in blocks[chosen]]
    return replace(workload, name=f"{workload.name}#{seed}", requests=tuple(found))


def sizes(requests: Sequence[Request]) -> list[Size]:
    """The different sizes asked for, smallest first: an experiment's VM types."""
    return sorted({r.size for r in requests}, key=Size.parts)
