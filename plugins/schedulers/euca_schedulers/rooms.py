"""What would be free on each node, while a policy thinks about who could go where.  No policy of its own.

Fitting is the core's arithmetic; this is only a plan, first fit in order of node id, and a plan may turn out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from euca_rpc.policy.values import Launch, Target
from euca_rpc.types import Size


def may_hold(launch: Launch, target: Target) -> bool:
    """As far as zone and architecture go."""
    return launch.zone in (None, target.zone) and target.architecture in ("", launch.architecture)


class Rooms:
    def __init__(self, rooms: Mapping[str, Size], targets: Mapping[str, Target]) -> None:
        self.rooms = dict(sorted(rooms.items()))
        self._targets = targets

    def add(self, id: str, room: Size) -> None:
        self.rooms[id] = self.rooms.get(id, Size()) + room

    def within(self, others: Rooms) -> Rooms:
        """What is free here and there."""
        both = {
            id: Size(*map(min, room.parts(), others.rooms.get(id, Size()).parts()))
            for id, room in self.rooms.items()
        }
        return Rooms(both, self._targets)

    def place(self, launch: Launch, count: int) -> int:
        """Take the room of up to ``count`` of its machines; how many found none."""
        for id, room in self.rooms.items():
            if count <= 0:
                break
            if may_hold(launch, self._targets[id]):
                here = min(count, launch.size.count_in(room))
                self.rooms[id] = room - launch.size.times(here)
                count -= here
        return count

    def would_hold(self, launch: Launch, more: Iterable[tuple[str, Size]] = ()) -> int:
        """Of how many of its machines there would be room, ``more`` rooms come."""
        rooms = dict(self.rooms)
        for id, room in more:
            rooms[id] = rooms.get(id, Size()) + room
        return sum(
            launch.size.count_in(room) for id, room in rooms.items() if may_hold(launch, self._targets[id])
        )
