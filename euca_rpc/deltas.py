"""Reports that tell only what changed: of a node's machines, those that are other than at a version the asker holds.

    whole    {…, "version": 12, "machines": [all of them]}
    delta    {…, "version": 12, "since": 9, "machines": [told anew since 9], "gone": [ids not mentioned any more]}

With what was told at version 9, a delta says as much as the whole: a machine that is in neither is unknown to the node.
Who holds another version than ``since`` can do nothing with it and asks for the whole.  A node and a cluster controller
answer with a delta only to who said that deltas are understood (``deltas``), and only if they know all that happened
since; both keep what was told, and at which version, as a `Told`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ROOM = 1000  # changes of machines that are gone, kept for who asks seldom; beyond it, those get the whole


@dataclass(frozen=True, slots=True)
class Told:
    """A node's machines as told at ``version``; a value."""

    version: int
    machines: Mapping[str, Any]  # instance id → the packed MachineReport, in the order of telling
    first: int  # what changed is known from this version on
    at: Mapping[str, int] = field(
        default_factory=dict
    )  # instance id → when it changed or went, if after `first`

    @classmethod
    def whole(cls, version: int, machines: Mapping[str, Any]) -> Told:
        return cls(version, machines, version)

    def next(self, version: int, machines: Mapping[str, Any]) -> Told:
        """As told at a later ``version``; what is the same object as before has not changed."""
        before = self.machines
        changed = [id for id, words in machines.items() if before.get(id) is not words]
        gone = [id for id in before if id not in machines]
        return self._with(version, machines, (*changed, *gone))

    def taken(self, version: int, since: int, machines: Mapping[str, Any], gone: list[str]) -> Told | None:
        """With a delta taken over; None: it is one to another version."""
        if since != self.version:
            return None
        now = {**self.machines, **machines}
        for id in gone:
            now.pop(id, None)
        return self._with(version, now, (*machines, *gone))

    def _with(self, version: int, machines: Mapping[str, Any], changed: tuple[str, ...]) -> Told:
        at = {**self.at, **dict.fromkeys(changed, version)}
        if len(at) > 2 * len(machines) + _ROOM:  # mostly of what is long gone
            return Told.whole(version, machines)
        return Told(version, machines, self.first, at)

    def words(self, known: int | None, deltas: bool) -> dict[str, Any]:
        """The part of a report that tells of machines, for who holds the version ``known``."""
        if not deltas or known is None or not self.first <= known <= self.version:
            return {"version": self.version, "machines": list(self.machines.values())}
        later = [id for id, version in self.at.items() if version > known]
        told = self.machines
        return {
            "version": self.version,
            "since": known,
            "machines": [told[id] for id in later if id in told],
            "gone": [id for id in later if id not in told],
        }


def by_id(machines: object) -> dict[str, Any] | None:
    """The machines of a report as they came, by id; None: they are none that anybody could mean."""
    if not isinstance(machines, list):
        return None
    found = {}
    for machine in machines:
        id = machine.get("instance_id") if isinstance(machine, dict) else None
        if not isinstance(id, str):
            return None
        found[id] = machine
    return found


def gone_of(report: Mapping[str, Any]) -> list[str] | None:
    """The ids that a delta says are gone; None: they are no ids."""
    gone = report.get("gone")
    return gone if isinstance(gone, list) and all(isinstance(id, str) for id in gone) else None
