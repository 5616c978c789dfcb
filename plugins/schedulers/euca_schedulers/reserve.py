"""Best-effort machines give way, with notice, to guaranteed ones.

    a regular launch finds no room, and would if best-effort machines were gone ─► it waits
        ─► tend: of those machines as few as do, the youngest first ─► Evict, with notice ─► room ─► it is placed

Best effort is what was launched on the spot market (service class `best_effort`).  The notice is given once and kept; who
was told goes even if the launch that wanted the room is gone by then.  While regular launches wait for such room,
best-effort launches wait behind them.  Places nothing: it is loaded beside the policy that does.
"""

from __future__ import annotations

from typing import Any

from euca_rpc.clock import MINUTE
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Action, Evict
from euca_rpc.policy.values import Launch, PolicyView, Wait, Waiting
from euca_rpc.types import Instance, Intent, Size
from euca_schedulers.rooms import Rooms, may_hold

NAME, BEST_EFFORT = "reserve", "best_effort"
PARAMETERS: dict[str, Any] = {
    "notice_minutes": 5.0,  # that a best-effort machine's user has
    "grace_minutes": 2.0,  # after the notice, until a launch that waits is asked again at the latest
}


@policy
def admit(launch: Launch, view: PolicyView) -> Wait | None:
    until = view.now + int((_said(view, "notice_minutes") + _said(view, "grace_minutes")) * MINUTE)
    ahead = _ahead(launch, view)
    if launch.service_class == BEST_EFFORT:
        if any(_overlap(w.launch, launch) for w in ahead):
            return Wait("Guaranteed machines wait for room; best-effort ones come after them.", until)
        return None
    coming = _free(view)
    for id, room in _leaving(view):
        coming.add(id, room)
    for w in ahead:
        coming.place(w.launch, w.launch.min_count)
    if _free(view).within(coming).would_hold(launch) >= launch.min_count:
        return None
    if _free(view).would_hold(launch) >= launch.min_count:
        return Wait("The room that is free is for launches that wait ahead of it.", until)
    movable = [(i.node, i.size) for i in _best_effort(view) if not _told(i, view)]
    if coming.would_hold(launch, movable) < launch.min_count:
        return None  # the core says that there is no room
    return Wait("Best-effort machines are given notice, and it gets their room.", until)


@policy
def tend(view: PolicyView) -> list[Action]:
    rooms = _free(view)
    for id, room in _leaving(view):
        rooms.add(id, room)
    notice = int(_said(view, "notice_minutes") * MINUTE)
    left = [i for i in _best_effort(view) if not _told(i, view)]
    found: list[Action] = []
    for w in _waiting(view):
        lacking = rooms.place(w.launch, w.launch.min_count)
        while lacking > 0 and (chosen := _cheapest(w.launch, rooms, left, view)):
            for i in chosen:
                left.remove(i)
                rooms.add(i.node, i.size)
                reason = f"Guaranteed machines ({w.reservation_id}) need the room that it was lent."
                found.append(Evict(i.id, reason, notice))
            lacking = rooms.place(w.launch, lacking)
    return found


def _cheapest(launch: Launch, rooms: Rooms, left: list[Instance], view: PolicyView) -> list[Instance]:
    """The machines of one node whose end makes room for one more, as few cores as possible; none if nothing does."""
    best: list[Instance] = []
    by_node: dict[str, list[Instance]] = {}
    for i in left:
        by_node.setdefault(i.node, []).append(i)
    for node, there in sorted(by_node.items()):
        target = view.targets.get(node)
        if target is None or not target.usable or not may_hold(launch, target):
            continue
        room, chosen = rooms.rooms.get(node, Size()), list[Instance]()
        for i in sorted(there, key=lambda i: (-i.launched_at, i.id)):
            if launch.size.fits(room):
                break
            room, chosen = room + i.size, [*chosen, i]
        if launch.size.fits(room) and (not best or _cost(chosen) < _cost(best)):
            best = chosen
    return best


def _cost(chosen: list[Instance]) -> tuple[int, int]:
    return sum(i.cores for i in chosen), len(chosen)


def _free(view: PolicyView) -> Rooms:
    return Rooms({t.id: t.room for t in view.targets.values() if t.usable}, view.targets)


def _waiting(view: PolicyView) -> list[Waiting]:
    """The regular launches that wait for room, whoever says so, oldest first; what another policy holds is not ready."""
    held = (
        w for w in view.waiting.values() if w.policy in (NAME, "") and w.launch.service_class != BEST_EFFORT
    )
    return sorted(held, key=lambda w: (w.since, w.reservation_id))


def _ahead(launch: Launch, view: PolicyView) -> list[Waiting]:
    """Those of them that come before it: all, of one that is new or best effort."""
    line = _waiting(view)
    own = next((n for n, w in enumerate(line) if w.reservation_id == launch.reservation_id), len(line))
    return line[:own]


def _overlap(a: Launch, b: Launch) -> bool:
    return a.architecture == b.architecture and (a.zone is None or b.zone is None or a.zone == b.zone)


def _best_effort(view: PolicyView) -> list[Instance]:
    return [
        i
        for i in view.instances.values()
        if i.service_class == BEST_EFFORT and i.intent is Intent.RUNNING and i.node and i.ended_at is None
    ]


def _told(i: Instance, view: PolicyView) -> bool:
    lease = view.leases.get(i.id)
    return lease is not None and lease.evicted != ""


def _leaving(view: PolicyView) -> list[tuple[str, Size]]:
    """Room that comes without anybody being told: of machines that end, or were given notice."""
    return [
        (i.node, i.size)
        for i in view.instances.values()
        if i.ended_at is None
        and i.node
        and (i.intent is Intent.TERMINATED or (i.intent is Intent.RUNNING and _told(i, view)))
        and i.node in view.targets
        and view.targets[i.node].usable
    ]


def _said(view: PolicyView, name: str) -> float:
    return float(view.parameters.get(f"{NAME}.{name}", PARAMETERS[name]))
