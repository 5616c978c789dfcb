"""Advance reservations and backfilling, as batch systems have them: everybody says for how long, and the future is planned.

    launch ─► begins later (hint `start`): is there room for it then? ─► No, or it waits for its moment, and the room is kept
           ─► begins now, if that delays nobody whose room is kept    ─► it does; else it stands in the line
    line   ─► the first ones get their room kept as early as it can be had (`depth` of them); whoever is behind them may go
              first if it is over in time, or leaves them enough room: that is backfilling

A machine runs as long as its launch said (hints `duration`, `max-duration`), or `usual_hours`, and no longer: that is its lease, so
all ends are known.  `depth` 1 is EASY backfilling, a large one is conservative backfilling, and with `overtake` false the
line is first come, first served.

Source: A. Mu'alem, D. Feitelson, "Utilization, Predictability, Workloads, and User Runtime Estimates in Scheduling the IBM SP2
with Backfilling", IEEE TPDS 12(6), 2001; EASY is D. Lifka's, JSSPP 1995.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from euca_rpc.clock import HOUR, MINUTE, SECOND, Micros, moment
from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Launch, Lease, No, PolicyView, Target, Wait, Waiting
from euca_rpc.types import Size

NAME = "backfill"
PARAMETERS: dict[str, Any] = {
    "usual_hours": 24.0,  # how long a machine may run whose launch says nothing
    "depth": 1,  # how many of the line have room kept for them
    "overtake": True,  # whether those behind them may go first
    "slack_seconds": 60.0,  # from the end of a machine until its room counts as free
    "again_minutes": 30.0,
}
Step = tuple[Micros, Size]  # from this moment on there is so much room


# ---------------------------------------------------------------------------------------------------------- hooks
@policy
def admit(launch: Launch, view: PolicyView) -> No | Wait | None:
    if not _ever(launch, view.targets.values()):
        return None  # the core says that there is no room
    if launch.start is not None and launch.start > view.now:
        if not launch.reservation_id:
            plan = Plan(view)
            for w in _reserved(view):
                plan.keep(w.launch, max(view.now, _start(w.launch)))
            earliest = plan.earliest(launch, launch.start)
            if earliest != launch.start:
                when = f"the earliest moment after that is {moment(earliest)}" if earliest else "nor later"
                return No(f"There is no room for it from {moment(launch.start)} on; {when}.", "reservation")
        return Wait(f"Its room is kept from {moment(launch.start)} on.", launch.start)
    if not launch.reservation_id and _now(launch, view):
        return None
    again = view.now + int(_said(view, "again_minutes") * MINUTE)
    return Wait("It stands in the line: beginning now, it would find no room or delay others.", again)


@policy
def arrange(batch: Sequence[Launch], targets: Mapping[str, Target], view: PolicyView) -> dict[int, str]:
    begins = _begin(view, None if batch[0].reservation_id else batch[0])
    answer: dict[int, str] = {}
    taken: dict[str, int] = {}
    for index, launch in enumerate(batch):
        nodes = begins.get(launch.reservation_id, [])
        place = taken.get(launch.reservation_id, 0)
        taken[launch.reservation_id] = place + 1
        if place < len(nodes):
            answer[index] = nodes[place]
    return answer


@policy
def lease(launch: Launch, view: PolicyView) -> Lease:
    return Lease(view.now + _runs(launch, view))


# -------------------------------------------------------------------------------------------------------- the line
def _begin(view: PolicyView, new: Launch | None) -> dict[str, list[str]]:
    """Who begins now, on which nodes, by reservation; ``new`` (of none) is the last in the line."""
    plan = Plan(view)
    begins: dict[str, list[str]] = {}
    for w in _reserved(view):
        start = _start(w.launch)
        nodes = plan.keep(w.launch, max(view.now, start))
        if start <= view.now and nodes:
            begins[w.reservation_id] = nodes
    line = [w.launch for w in _line(view)]
    kept, overtake = 0, bool(_said(view, "overtake"))
    for launch in [*line, *([new] if new is not None else [])]:
        nodes = plan.nodes(launch, view.now)
        if nodes:
            plan.take(launch, nodes, view.now)
            begins[launch.reservation_id] = nodes
        elif not overtake:
            break
        elif kept < int(_said(view, "depth")):
            kept += 1
            earliest = plan.earliest(launch, view.now)
            if earliest is not None:
                plan.keep(launch, earliest)
    return begins


def _now(launch: Launch, view: PolicyView) -> bool:
    return launch.reservation_id in _begin(view, launch)


def _line(view: PolicyView) -> list[Waiting]:
    """Who begins as soon as it can."""
    return [w for w in _mine(view) if w.launch.start is None]


def _reserved(view: PolicyView) -> list[Waiting]:
    """Whose room is kept from a moment on, which may have come."""
    return [w for w in _mine(view) if w.launch.start is not None]


def _mine(view: PolicyView) -> list[Waiting]:
    mine = [w for w in view.waiting.values() if w.policy in ("", NAME)]
    return sorted(mine, key=lambda w: (-w.launch.priority, w.since, w.reservation_id))


def _start(launch: Launch) -> Micros:
    assert launch.start is not None
    return launch.start


# -------------------------------------------------------------------------------------------------------- the plan
class Plan:
    """Of each node: how much room there is from which moment on."""

    def __init__(self, view: PolicyView) -> None:
        self._view = view
        self._slack = int(_said(view, "slack_seconds") * SECOND)
        freed: dict[str, list[Step]] = {}
        for i in view.instances.values():
            if i.node and i.ended_at is None:
                lease = view.leases.get(i.id)
                ends = lease.until if lease is not None else i.launched_at + _usual(view)
                freed.setdefault(i.node, []).append((max(ends, view.now) + self._slack, i.size))
        self._nodes: dict[str, tuple[Target, list[Step]]] = {}
        for target in sorted(view.targets.values(), key=lambda t: t.id):
            if target.usable:
                steps = [(view.now, target.room)]
                for at, size in sorted(freed.get(target.id, []), key=lambda step: step[0]):
                    room = steps[-1][1] + size
                    if steps[-1][0] == at:
                        steps[-1] = (at, room)
                    else:
                        steps.append((at, room))
                self._nodes[target.id] = (target, steps)

    def nodes(self, launch: Launch, start: Micros) -> list[str]:
        """For its machines if they begin then; none if not all that it needs find room."""
        end = start + _runs(launch, self._view) + self._slack
        found: list[str] = []
        for id, (target, steps) in self._nodes.items():
            if _may(launch, target):
                here = min(launch.size.count_in(room) for room in _rooms(steps, start, end))
                found += [id] * min(here, launch.max_count - len(found))
            if len(found) == launch.max_count:
                break
        return found if len(found) >= launch.min_count else []

    def earliest(self, launch: Launch, after: Micros) -> Micros | None:
        moments = {at for target, steps in self._nodes.values() if _may(launch, target) for at, _ in steps}
        for at in (after, *sorted(m for m in moments if m > after)):
            if self.nodes(launch, at):
                return at
        return None

    def keep(self, launch: Launch, start: Micros) -> list[str]:
        """Its nodes from then on, taken; none if there is no room after all."""
        nodes = self.nodes(launch, start)
        self.take(launch, nodes, start)
        return nodes

    def take(self, launch: Launch, nodes: Iterable[str], start: Micros) -> None:
        end = start + _runs(launch, self._view) + self._slack
        for id in nodes:
            target, steps = self._nodes[id]
            self._nodes[id] = (target, _less(steps, launch.size, start, end))


def _rooms(steps: list[Step], start: Micros, end: Micros) -> list[Size]:
    """All that there is between the two moments."""
    before = [room for at, room in steps if at <= start]
    return [*before[-1:], *(room for at, room in steps if start < at < end)] or [Size()]


def _less(steps: list[Step], size: Size, start: Micros, end: Micros) -> list[Step]:
    """The same with ``size`` less from one moment to the other."""
    moments = sorted({at for at, _ in steps} | {start, end})
    made: list[Step] = []
    for at in moments:
        room = next((room for since, room in reversed(steps) if since <= at), Size())
        made.append((at, room - size if start <= at < end else room))
    return made


def _may(launch: Launch, target: Target) -> bool:
    return launch.zone in (None, target.zone) and target.architecture == launch.architecture


def _ever(launch: Launch, targets: Iterable[Target]) -> bool:
    room = sum(launch.size.count_in(t.offer) for t in targets if _may(launch, t))
    return room >= launch.min_count


def _runs(launch: Launch, view: PolicyView) -> Micros:
    """How long it may run."""
    return max(SECOND, launch.max_duration) if launch.max_duration is not None else _usual(view)


def _usual(view: PolicyView) -> Micros:
    return int(_said(view, "usual_hours") * HOUR)


def _said(view: PolicyView, name: str) -> Any:
    return view.parameters.get(f"{NAME}.{name}", PARAMETERS[name])
