"""Zones and VM types, as interfaces see them; zones, as an administrator handles them.

add      a row; its cluster controller may come, and nodes may be added
remove   refused while it has nodes; its cluster controller's certificate is revoked
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from euca_rpc.clock import Micros
from euca_rpc.cloud.accounts import check_administrator
from euca_rpc.cloud.changes import Change, Forget, Insert, Outcome, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View, silence
from euca_rpc.cloud.vm_types import remove_type, set_type
from euca_rpc.errors import EucaError
from euca_rpc.ids import is_name
from euca_rpc.shown import Reach, TypeRoom, ZoneStatus
from euca_rpc.types import Caller, Contact, VmType, Zone


# --------------------------------------------------------------------------------------------- administration
def find_zone(view: View, name: str) -> Zone:
    if name not in view.zones:
        known = ", ".join(sorted(view.zones)) or "none"
        hint = f"; to make it: euca zone add {name}" if is_name(name) else ""
        raise EucaError("zone_not_found", f"the zone {name[:80]!r} does not exist; there are {known}{hint}")
    return view.zones[name]


def add(by: Caller | str, name: str) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        if not is_name(name):
            raise EucaError(
                "parameter_invalid",
                f"{name[:80]!r}: zone names are a-z, 0-9 and -, at most 64 long",
            )
        if name in view.zones:
            raise EucaError(
                "name_duplicate",
                f"the zone {name} exists already; a token for its cluster controller: euca zone_token {name}",
            )
        zone = Zone(name, now)
        return Outcome((Insert(zone),), (event("zone.added", name, now, by),), zone)

    return verb


def remove(by: Caller, name: str) -> Callable[[View, Micros], Outcome]:
    """Only an empty one.  Nodes that were removed before are no obstacle; one that was fenced is still a node."""

    def verb(view: View, now: Micros) -> Outcome:
        zone = find_zone(view, name)
        held = sorted(n.id for n in view.nodes.values() if n.zone == name and n.admin_state != "removed")
        if held:
            raise EucaError(
                "state_conflict",
                f"the zone {name} still has {len(held)} nodes ({', '.join(held[:5])}{' …' if len(held) > 5 else ''}): "
                "remove them first (euca node remove)",
            )
        changes: list[Change] = [Remove(zone)]
        if name in view.contacts:
            changes.append(Forget(view.contacts[name]))
        return Outcome(tuple(changes), (event("zone.removed", name, now, by),), zone)

    return verb


# ------------------------------------------------------------------------------------------- as interfaces see them
def types_in_order(view: View) -> list[VmType]:
    return sorted(view.vm_types.values(), key=lambda t: (t.position, t.name))


class Types:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[VmType]:
        view = self._journal.view
        for name in names:
            if name not in view.vm_types:
                known = ", ".join(t.name for t in types_in_order(view))
                raise EucaError("type_not_found", f"the VM type {name!r} does not exist; there are {known}")
        return [t for t in types_in_order(view) if not names or t.name in names]

    def set(self, caller: Caller, vm_type: VmType) -> VmType:
        check_administrator(caller)
        made: VmType = self._journal.do(set_type(caller, vm_type))
        return made

    def remove(self, caller: Caller, name: str) -> None:
        check_administrator(caller)
        self._journal.do(remove_type(caller, name))


class Zones:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rooms: tuple[object, object, dict[str, tuple[TypeRoom, ...]]] = (None, None, {})

    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[ZoneStatus]:
        view = self._journal.view
        for name in names:
            if name not in view.zones:
                known = ", ".join(sorted(view.zones)) or "none"
                raise EucaError("zone_not_found", f"the zone {name!r} does not exist; there are {known}")
        return [
            self._status(view, name, caller.is_admin)
            for name in sorted(view.zones)
            if not names or name in names
        ]

    def _status(self, view: View, zone: str, with_nodes: bool) -> ZoneStatus:
        nodes: tuple[tuple[str, Reach], ...] = ()
        if with_nodes:
            of_zone = sorted((n for n in view.nodes.values() if n.zone == zone), key=lambda n: n.host)
            nodes = tuple(
                (n.host, reach(view.contacts.get(n.id))) for n in of_zone if n.admin_state != "removed"
            )
        return ZoneStatus(
            zone, reach(view.contacts.get(zone)), self._room(view).get(zone, empty(view)), nodes
        )

    def _room(self, view: View) -> dict[str, tuple[TypeRoom, ...]]:
        """Kept as long as no target and no type has changed."""
        targets, types, rooms = self._rooms
        if targets is not view.targets or types is not view.vm_types:
            rooms = rooms_by_zone(view)
            self._rooms = (view.targets, view.vm_types, rooms)
        return rooms


def rooms_by_zone(view: View) -> dict[str, tuple[TypeRoom, ...]]:
    """Slots of each type: free on usable nodes, and in all on the nodes that belong to the zone."""
    sums: dict[str, dict[str, list[int]]] = {}
    types = types_in_order(view)
    for target in view.targets.values():
        node = view.nodes[target.id]
        if not node.asked:
            continue
        zone = sums.setdefault(target.zone, {t.name: [0, 0] for t in types})
        for t in types:
            if target.usable:
                zone[t.name][0] += t.size.count_in(target.room)
            zone[t.name][1] += t.size.count_in(target.offer)
    return {
        zone: tuple(TypeRoom(t, free=counts[t.name][0], total=counts[t.name][1]) for t in types)
        for zone, counts in sums.items()
    }


def empty(view: View) -> tuple[TypeRoom, ...]:
    return tuple(TypeRoom(t, 0, 0) for t in types_in_order(view))


def reach(contact: Contact | None) -> Reach:
    return Reach(
        up=not silence(contact),
        silent_since=contact.silent_since if contact else None,
        trouble=contact.trouble if contact else "not heard since the cloud controller started",
    )
