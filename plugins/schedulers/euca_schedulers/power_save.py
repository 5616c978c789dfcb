"""Idle nodes sleep, and are woken by demand.

    empty for idle_minutes, and more than `spare` of them awake ─► Sleep          (the last ones in order of id first)
    a launch finds room only on nodes that sleep ─► it waits    ─► Wake, as many as it takes, oldest launch first
    fewer than `spare` empty nodes awake                        ─► Wake one more: the next launch need not wait

Machines are packed as `pack` does, so that whole nodes become idle.  The `spare` is kept in each zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euca_rpc.clock import MINUTE, Micros
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Action, Again, Sleep, Wake
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target, Wait
from euca_schedulers import pack
from euca_schedulers.rooms import Rooms, may_hold

NAME = "power_save"
PARAMETERS: dict[str, Any] = {
    "idle_minutes": 10.0,  # a node that was empty for so long sleeps; at most 60
    "spare": 1,  # empty nodes of each zone that stay awake
    "wake_minutes": 15.0,  # that a node may take to wake; then another is woken, and launches that wait are asked again
    "exempt": [],  # nodes ("zone/host") that never sleep
}


@policy
def score(cls: LaunchClass, target: Target) -> float:
    return pack.score(cls, target)


@policy
def admit(launch: Launch, view: PolicyView) -> Wait | None:
    awake = Rooms({t.id: t.room for t in view.targets.values() if t.usable}, view.targets)
    if awake.would_hold(launch) >= launch.min_count:
        return None
    resting = [
        (t.id, t.room) for t in view.targets.values() if t.power in ("sleeping", "asleep") or _comes(t, view)
    ]
    if awake.would_hold(launch, resting) < launch.min_count:
        return None  # the core says that there is no room
    minutes = _said(view)["wake_minutes"]
    return Wait("The nodes that have room for it sleep and are woken.", view.now + int(minutes * MINUTE))


@policy
def tend(view: PolicyView) -> list[Action]:
    said = _said(view)
    awake = {t.id: t for t in view.targets.values() if t.usable and t.power == "on"}
    coming = {t.id: t for t in view.targets.values() if _comes(t, view)}
    asleep = sorted(t.id for t in view.targets.values() if t.power == "asleep")
    rooms = Rooms({t.id: t.room for t in (*awake.values(), *coming.values())}, view.targets)
    woken: dict[str, str] = {}
    ready_to_run = [
        w for w in view.waiting.values() if w.policy in (NAME, "")
    ]  # others are held for other reasons
    for waits in sorted(ready_to_run, key=lambda w: (w.since, w.reservation_id)):
        _wake_for(waits.launch, rooms, asleep, woken, view)
    found: list[Action] = []
    for zone in sorted({t.zone for t in view.targets.values()}):
        idle = [id for id, t in awake.items() if t.zone == zone and _empty(t, rooms)]
        ready = [
            *idle,
            *(id for id in (*coming, *woken) if view.targets[id].zone == zone and _unused(id, rooms, view)),
        ]
        sleeping = [id for id in asleep if view.targets[id].zone == zone and id not in woken]
        if len(ready) < said["spare"] and sleeping:
            woken[sleeping[0]] = f"Fewer than {said['spare']} empty nodes of {zone} are awake."
        found += _to_bed(idle, len(ready) - said["spare"], said, view)
    return [*(Wake(id, why) for id, why in woken.items()), *found]


def _wake_for(
    launch: Launch, rooms: Rooms, asleep: list[str], woken: dict[str, str], view: PolicyView
) -> None:
    """The room that a launch which waits will take; and who is to wake for what is lacking."""
    lacking = rooms.place(launch, launch.min_count)
    free = [id for id in asleep if id not in woken and may_hold(launch, view.targets[id])]
    if lacking > sum(launch.size.count_in(view.targets[id].room) for id in free):
        return  # even all of them would not do
    for id in free:
        if lacking <= 0:
            return
        if launch.size.count_in(view.targets[id].room):
            woken[id] = f"The launch {launch.reservation_id} waits for room."
            rooms.add(id, view.targets[id].room)
            lacking = rooms.place(launch, lacking)


def _to_bed(idle: list[str], more_than_spare: int, said: Mapping[str, Any], view: PolicyView) -> list[Action]:
    """Of the idle nodes those that were so for long enough, but for the spare ones; and when the next one will be."""
    tired = [id for id in idle if view.targets[id].sleeps and id not in said["exempt"]]
    if more_than_spare <= 0 or not tired:
        return []
    long = int(min(said["idle_minutes"], 60.0) * MINUTE)
    since = _idle_since(view, tired)
    due = [id for id in tired if since[id] + long <= view.now]
    gone = sorted(due, reverse=True)[:more_than_spare]
    found: list[Action] = [Sleep(id, f"It was idle for {said['idle_minutes']:g} minutes.") for id in gone]
    later = [since[id] + long for id in tired if id not in due]
    if later and len(gone) < more_than_spare:
        found.append(Again(min(later)))
    return found


def _idle_since(view: PolicyView, nodes: list[str]) -> dict[str, Micros]:
    """When the last machine left, or the node was switched on; machines of more than an hour ago are not seen."""
    since = {id: view.targets[id].power_since for id in nodes}
    for i in view.instances.values():
        if i.ended_at is not None and i.node in since:
            since[i.node] = max(since[i.node], i.ended_at)
    return since


def _comes(t: Target, view: PolicyView) -> bool:
    """It is being woken; one that takes longer than it should is not counted on any more."""
    return t.power == "waking" and view.now - t.power_since < int(_said(view)["wake_minutes"] * MINUTE)


def _empty(t: Target, rooms: Rooms) -> bool:
    """Nothing is there, and no launch that waits was planned there."""
    return t.machines == 0 and rooms.rooms.get(t.id) == t.room


def _unused(id: str, rooms: Rooms, view: PolicyView) -> bool:
    return rooms.rooms.get(id) == view.targets[id].room


def _said(view: PolicyView) -> dict[str, Any]:
    return {name: view.parameters.get(f"{NAME}.{name}", usual) for name, usual in PARAMETERS.items()}
