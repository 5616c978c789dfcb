"""The view: everything the cloud controller knows, as one immutable value.

    rows       one persistent map per kind of row, exactly what the store holds (ended instances leave after an hour)
    soft rows  contacts: when zones and nodes were last heard
    indexes    sums and look-ups made of the rows, kept right by `apply` and by nothing else

A `View` never changes; `apply` answers the next one, numbered one higher.  Whoever holds one has a consistent snapshot
for as long as it likes, at the price of a pointer.  The journal publishes a view only after its changes are durable.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from immutables import Map

from euca_rpc.clock import HOUR, MINUTE, Micros, moment
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.changes import Change, Forget, Remove
from euca_rpc.cloud.lifecycle import NOTHING
from euca_rpc.policy.hints import meant
from euca_rpc.policy.values import Launch, Tally, Target, Waiting
from euca_rpc.types import (
    AccessKey,
    Account,
    Accounted,
    Application,
    Capture,
    Certificate,
    Contact,
    Counter,
    Image,
    Instance,
    InstanceLease,
    KeyPair,
    Link,
    Mail,
    Node,
    Password,
    Quota,
    Reservation,
    Session,
    Setting,
    Size,
    Tag,
    Token,
    Upload,
    Usage,
    User,
    VmType,
    WaitingLaunch,
    Zone,
)

_LOG_LENGTH = 4096  # snapshots that a policy engine may lag behind before it has to look at all targets


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """Soft: on which snapshot a launch that waits was last asked about."""

    id: str  # of its reservation
    number: int


class View(NamedTuple):
    """A tuple, since of its sixty fields a transaction changes a handful: the next view is made ten times as quickly."""

    number: int = 0
    # rows
    accounts: Map[str, Account] = Map()
    users: Map[str, User] = Map()
    access_keys: Map[str, AccessKey] = Map()
    certificates: Map[str, Certificate] = Map()
    quotas: Map[str, Quota] = Map()
    vm_types: Map[str, VmType] = Map()
    images: Map[str, Image] = Map()
    keys: Map[str, KeyPair] = Map()
    reservations: Map[str, Reservation] = Map()
    instances: Map[str, Instance] = Map()
    tokens: Map[str, Token] = Map()
    tag_rows: Map[str, Tag] = Map()
    uploads: Map[str, Upload] = Map()
    leases: Map[str, InstanceLease] = Map()
    counters: Map[str, Counter] = Map()
    accounted: Map[str, Accounted] = Map()
    waiting_rows: Map[str, WaitingLaunch] = Map()
    captures: Map[str, Capture] = Map()  # those under way: one that is over has no row
    zones: Map[str, Zone] = Map()
    nodes: Map[str, Node] = Map()
    settings: Map[str, Setting] = Map()
    applications: Map[str, Application] = Map()
    passwords: Map[str, Password] = Map()
    links: Map[str, Link] = Map()
    sessions: Map[str, Session] = Map()
    # soft rows
    contacts: Map[str, Contact] = Map()
    asked_again: Map[str, AskedAgain] = Map()
    # indexes
    user_names: Map[str, str] = Map()  # name → user id
    wished_names: Map[str, Map[str, Application]] = Map()  # name → requests that wait
    user_sessions: Map[str, Map[str, Session]] = Map()  # user id → its sessions
    key_names: Map[str, str] = Map()  # "account/name" → key id
    addresses: Map[str, str] = Map()  # public address → instance id, while it is not over
    tallies: Map[str, Tally] = Map()  # "account/…", "user/…"
    claimed: Map[str, Size] = Map()  # node id → sum of claims
    on_node: Map[str, Map[str, None]] = Map()  # node id → ids of instances that are not over
    unsettled: Map[str, None] = Map()  # ids of instances that something is to be done for
    untold: Map[str, None] = Map()  # ids of instances that were launched and of which no node was told yet
    ended: Map[int, Map[str, None]] = Map()  # minute since the epoch → ids of what ended in it, while visible
    stale_tokens: Map[int, Map[str, None]] = Map()  # minute since the epoch → tokens that expire in it
    lease_hours: Map[int, Map[str, None]] = Map()  # hour since the epoch → ids of leases that are due in it
    by_account: Map[str, Map[str, Reservation]] = Map()
    waiting: Map[str, Waiting] = Map()  # reservation id → the launch that waits, as policies see it
    line: tuple[tuple[Micros, str], ...] = ()  # since when, reservation id: who waits, first come first
    opened: int = 0  # the snapshot at which something last changed that those who wait may have waited for
    tags: Map[str, tuple[tuple[str, str], ...]] = Map()  # resource id → (key, value), by key
    targets: Map[str, Target] = Map()
    log: Map[int, tuple[str, ...]] = Map()  # snapshot number → targets that it changed
    resting: Map[str, None] = Map()  # ids of nodes that sleep, or are on their way there or back
    roster_version: int = 0  # raised when a node comes or goes
    last_used: int = 0  # the highest ordinal of a placement

    def apply(self, changes: Iterable[Change]) -> View:
        """The next view.  Linear in the changes, not in the view."""
        draft = _Draft(self)
        for change in changes:
            draft.take(change)
        return draft.finish()

    def targets_changed(self, since: int) -> Iterable[str] | None:
        if since >= self.number:
            return ()
        if self.number - since > _LOG_LENGTH:
            return None
        changed: list[str] = []
        for number in range(since + 1, self.number + 1):
            changed.extend(self.log.get(number, ()))
        return changed

    def quota(self, scope: str) -> Quota:
        """The limits of ``scope`` ("account/ID", "user/ID"): its own, else the cloud's default, else none."""
        default = "default/" + scope.partition("/")[0]
        return self.quotas.get(scope) or self.quotas.get(default) or Quota(scope)


_TABLE: dict[type, str] = {
    Account: "accounts",
    User: "users",
    AccessKey: "access_keys",
    Certificate: "certificates",
    Quota: "quotas",
    VmType: "vm_types",
    Image: "images",
    KeyPair: "keys",
    Reservation: "reservations",
    Instance: "instances",
    Token: "tokens",
    Tag: "tag_rows",
    Upload: "uploads",
    Zone: "zones",
    Node: "nodes",
    Setting: "settings",
    Application: "applications",
    Password: "passwords",
    Link: "links",
    Session: "sessions",
    Capture: "captures",
    InstanceLease: "leases",
    Counter: "counters",
    Accounted: "accounted",
    WaitingLaunch: "waiting_rows",
    AskedAgain: "asked_again",
    Contact: "contacts",
}
_UNSEEN = frozenset({Usage, Mail})  # rows that only the store keeps
_NAMED = frozenset({VmType, Zone})  # rows whose key is their name
_LEAVING = frozenset({Remove, Forget})
_OPENERS = frozenset({Setting, Zone})  # rows whose change may let a launch go on that waits
_NO_TALLY = Tally()
_PLACES = {name: place for place, name in enumerate(View._fields)}


class _Fields(dict[str, Any]):
    """Those of a view that were looked at or changed, by name."""

    def __init__(self, base: View) -> None:
        self.base = base

    def __missing__(self, name: str) -> Any:
        value = self[name] = self.base[_PLACES[name]]
        return value

    def view(self) -> View:
        values = list(self.base)
        for name, value in self.items():
            values[_PLACES[name]] = value
        return View._make(values)


class _Draft:
    """A view under construction: the maps that change, and which targets have to be made anew."""

    def __init__(self, base: View) -> None:
        self.v = _Fields(base)
        self.stale: set[str] = set()
        self.restless: set[str] = set()  # reservations that wait, or did
        self.opens = False

    def take(self, change: Change) -> None:
        row = change.row
        kind = type(row)
        if kind in _UNSEEN:
            return
        v, table = self.v, _TABLE[kind]
        key = row.name if kind in _NAMED else row.id
        rows = v[table]
        old = rows.get(key)
        if type(change) in _LEAVING:
            if old is None:
                return
            v[table] = rows.delete(key)
            new = None
        else:
            v[table] = rows.set(key, row)
            new = row
        if kind in _OPENERS:
            self.opens = True
        index = _INDEX.get(kind)
        if index is not None:
            index(self, old, new)

    def finish(self) -> View:
        v = self.v
        v["number"] += 1
        for id in self.restless:
            self._line_up(id)
        if self.stale:
            targets = v["targets"]
            for node_id in self.stale:
                node = v["nodes"].get(node_id)
                old = targets.get(node_id) if v["line"] else None
                targets = _drop(targets, node_id) if node is None else targets.set(node_id, self.target(node))
                self.opens = self.opens or (bool(v["line"]) and _better(old, targets.get(node_id)))
            v["targets"] = targets
            v["log"] = v["log"].set(v["number"], tuple(sorted(self.stale)))
        v["log"] = _drop(v["log"], v["number"] - _LOG_LENGTH - 1)
        if self.opens and v["line"]:
            v["opened"] = v["number"]
        return v.view()

    # -------------------------------------------------------------------------------------------- indexes
    def instance(self, old: Instance | None, new: Instance | None) -> None:
        v = self.v
        row = new or old
        assert row is not None
        before = lifecycle.claim(old) if old else NOTHING
        after = lifecycle.claim(new) if new else NOTHING
        alive_before = old is not None and old.ended_at is None
        alive = new is not None and new.ended_at is None
        if old is not None and new is not None and old.node != new.node:
            self._leave(old.node, row.id, before)
            self._claim(new.node, after)
        elif before is not after and before != after:  # equal ones are mostly the same object
            self._claim(row.node, after - before)
        waited = old is not None and lifecycle.waits(old)
        if waited or (new is not None and not new.node):
            self.restless.add(row.reservation_id)
            before = lifecycle.counted(old) if old else NOTHING
            after = lifecycle.counted(new) if new else NOTHING
        if alive != alive_before or (before is not after and before != after):
            step, more = int(alive) - int(alive_before), after - before
            for scope in ("account/" + row.account_id, "user/" + row.created_by):
                tally = v["tallies"].get(scope, _NO_TALLY)
                v["tallies"] = v["tallies"].set(scope, Tally(tally.instances + step, tally.size + more))
        if alive:
            if row.node and (not alive_before or (old is not None and old.node != row.node)):
                v["on_node"] = _put_inner(v["on_node"], row.node, row.id, None)
                self.stale.add(row.node)
            if row.public_address and (old is None or row.public_address != old.public_address):
                v["addresses"] = v["addresses"].set(row.public_address, row.id)
        elif alive_before:
            self._leave(row.node, row.id, NOTHING)
            if v["addresses"].get(row.public_address) == row.id:
                v["addresses"] = v["addresses"].delete(row.public_address)
        untold = new is not None and lifecycle.launched(new)
        if untold or (old is not None and lifecycle.launched(old)):
            v["untold"] = v["untold"].set(row.id, None) if untold else _drop(v["untold"], row.id)
        open_ = new is not None and not lifecycle.settled(new)
        if open_ != (row.id in v["unsettled"]):
            v["unsettled"] = v["unsettled"].set(row.id, None) if open_ else v["unsettled"].delete(row.id)
        self._move("ended", row.id, old.ended_at if old else None, new.ended_at if new else None)

    def token(self, old: Token | None, new: Token | None) -> None:
        row = new or old
        assert row is not None
        self._move("stale_tokens", row.id, old.expires_at if old else None, new.expires_at if new else None)

    def _move(self, index: str, id: str, old: Micros | None, new: Micros | None) -> None:
        """From one minute to another; None: it is in none."""
        if old == new:
            return
        if old is not None:
            self.v[index] = _drop_inner(self.v[index], old // MINUTE, id)
        if new is not None:
            self.v[index] = _put_inner(self.v[index], new // MINUTE, id, None)

    def _leave(self, node_id: str, instance_id: str, held: Size) -> None:
        if node_id:
            self.v["on_node"] = _drop_inner(self.v["on_node"], node_id, instance_id)
            self._claim(node_id, NOTHING - held)

    def _claim(self, node_id: str, by: Size) -> None:
        claimed = self.v["claimed"]
        self.v["claimed"] = claimed.set(node_id, claimed.get(node_id, NOTHING) + by)
        self.stale.add(node_id)

    def reservation(self, old: Reservation | None, new: Reservation | None) -> None:
        self._group("by_account", "account_id", old, new)

    def node(self, old: Node | None, new: Node | None) -> None:
        row = new or old
        assert row is not None
        self.stale.add(row.id)
        listed = (
            old is not None and old.asked,
            new is not None and new.asked,
        )
        if listed[0] != listed[1]:
            self.v["roster_version"] += 1
        if row.last_used > self.v["last_used"]:
            self.v["last_used"] = row.last_used
        elif new is None:
            self.v["last_used"] = max((n.last_used for n in self.v["nodes"].values()), default=0)
        rests = new is not None and new.asked and new.power != "on"
        if rests or (old is not None and old.power != "on"):
            self.v["resting"] = (
                self.v["resting"].set(row.id, None) if rests else _drop(self.v["resting"], row.id)
            )

    def contact(self, old: Contact | None, new: Contact | None) -> None:
        row = new or old
        assert row is not None
        if old is not None and new is not None and _up(old) == _up(new) and old.trouble == new.trouble:
            return
        if row.id in self.v["nodes"]:
            self.stale.add(row.id)
        else:  # a zone came or went: it takes its nodes along
            self.stale.update(n.id for n in self.v["nodes"].values() if n.zone == row.id)

    def user(self, old: User | None, new: User | None) -> None:
        if old is not None:
            self.v["user_names"] = _drop(self.v["user_names"], old.name)
        if new is not None:
            self.v["user_names"] = self.v["user_names"].set(new.name, new.id)

    def application(self, old: Application | None, new: Application | None) -> None:
        self._group("wished_names", "user_name", old, new)

    def session(self, old: Session | None, new: Session | None) -> None:
        self._group("user_sessions", "user_id", old, new)

    def _group(self, index: str, by: str, old: Any, new: Any) -> None:
        row = new or old
        outer = getattr(row, by)
        if new is not None:
            self.v[index] = _put_inner(self.v[index], outer, row.id, new)
        else:
            self.v[index] = _drop_inner(self.v[index], outer, row.id)

    def lease(self, old: InstanceLease | None, new: InstanceLease | None) -> None:
        if old is not None:
            self.v["lease_hours"] = _drop_inner(self.v["lease_hours"], old.due // HOUR, old.id)
        if new is not None:
            self.v["lease_hours"] = _put_inner(self.v["lease_hours"], new.due // HOUR, new.id, None)

    def wait(self, old: WaitingLaunch | None, new: WaitingLaunch | None) -> None:
        row = new or old
        assert row is not None
        self.restless.add(row.id)

    def _line_up(self, id: str) -> None:
        """Anew, from the row, its reservation and its instances, whichever of them changed."""
        v = self.v
        row, before = v["waiting_rows"].get(id), v["waiting"].get(id)
        v["line"] = tuple(place for place in v["line"] if place[1] != id)
        v["waiting"] = _drop(v["waiting"], id)
        if row is None:
            v["asked_again"] = _drop(v["asked_again"], id)
        elif (waits := self._waiting(row)) is not None:
            v["waiting"] = v["waiting"].set(id, waits)
            line = list(v["line"])
            insort(line, (waits.since, id))
            v["line"] = tuple(line)
        after = v["waiting"].get(id)
        if before is not None and (after is None or len(after.instance_ids) < len(before.instance_ids)):
            self.opens = True  # others may go on

    def _waiting(self, row: WaitingLaunch) -> Waiting | None:
        """None: all that waited has ended."""
        reservation: Reservation | None = self.v["reservations"].get(row.id)
        there = [self.v["instances"].get(i) for i in reservation.instance_ids] if reservation else []
        rows = [i for i in there if i is not None and lifecycle.waits(i)]
        if reservation is None or not rows:
            return None
        like: Instance = rows[0]
        launch = Launch(
            account_id=reservation.account_id,
            user_id=reservation.created_by,
            vm_type=like.vm_type,
            size=like.size,
            architecture=like.architecture,
            min_count=min(row.least, len(rows)),
            max_count=len(rows),
            zone=row.zone,
            service_class=like.service_class,
            hints=reservation.hints,
            reservation_id=row.id,
            **meant(reservation.hints, row.since),
        )
        ids = tuple(i.id for i in rows)
        return Waiting(row.id, launch, ids, row.since, row.again, row.until, row.policy, row.reason)

    def key(self, old: KeyPair | None, new: KeyPair | None) -> None:
        if old is not None:
            self.v["key_names"] = _drop(self.v["key_names"], f"{old.account_id}/{old.name}")
        if new is not None:
            self.v["key_names"] = self.v["key_names"].set(f"{new.account_id}/{new.name}", new.id)

    def tag(self, old: Tag | None, new: Tag | None) -> None:
        row = new or old
        assert row is not None
        kept = dict(self.v["tags"].get(row.resource_id, ()))
        kept.pop(row.key, None)
        if new is not None:
            kept[new.key] = new.value
        tags = self.v["tags"]
        self.v["tags"] = (
            tags.set(row.resource_id, tuple(sorted(kept.items()))) if kept else _drop(tags, row.resource_id)
        )

    def target(self, n: Node) -> Target:
        v = self.v
        why = _unusable(n, v["contacts"].get(n.zone), v["contacts"].get(n.id))
        return Target(
            id=n.id,
            zone=n.zone,
            architecture=n.architecture,
            offer=n.offer,
            claimed=v["claimed"].get(n.id, NOTHING),
            usable=not why,
            why=why,
            last_used=n.last_used,
            machines=len(v["on_node"].get(n.id, ())),
            version=v["number"],
            power=n.power if n.admin_state == "active" or n.drained_by else "",
            power_since=n.power_since,
            sleeps=n.sleeps,
            drained_by=n.drained_by,
        )


_INDEX: dict[type, Callable[[_Draft, Any, Any], None]] = {
    Instance: _Draft.instance,
    Reservation: _Draft.reservation,
    Node: _Draft.node,
    Contact: _Draft.contact,
    User: _Draft.user,
    Application: _Draft.application,
    Session: _Draft.session,
    KeyPair: _Draft.key,
    InstanceLease: _Draft.lease,
    WaitingLaunch: _Draft.wait,
    Tag: _Draft.tag,
    Token: _Draft.token,
}


def silence(contact: Contact | None) -> str:
    """Why nobody answers, naming the moment; "" if somebody does."""
    if contact is None or (contact.heard_at is None and contact.silent_since is None):
        return "not heard since the cloud controller started"
    if contact.silent_since is None:
        return ""
    return f"silent since {moment(contact.silent_since)}" + (
        f" ({contact.trouble})" if contact.trouble else ""
    )


def rest(n: Node) -> str:
    """What a node that is not on is doing, naming the moment and who wanted it so; "" of one that is on."""
    since = moment(n.power_since)
    if n.power == "sleeping":
        return f"going to sleep to save power since {since} ({n.power_by}: {n.why})"
    if n.power == "asleep":
        return f"asleep to save power since {since}, woken by demand ({n.power_by}: {n.why})"
    if n.power == "waking":
        return f"being woken since {since} ({n.power_by}: {n.why})"
    return ""


def _better(old: Target | None, new: Target | None) -> bool:
    """There may be room where there was none."""
    if new is None or not new.usable:
        return False
    return old is None or not old.usable or not new.room.fits(old.room)


def _up(contact: Contact) -> bool:
    return contact.heard_at is not None and contact.silent_since is None


def _unusable(n: Node, zone: Contact | None, node: Contact | None) -> str:
    if n.admin_state == "returning":
        return "added again, and has yet to say that nothing of before is left there"
    if n.admin_state != "active":
        who = f"policy {n.drained_by}: {n.why}" if n.drained_by else "an administrator"
        return f"{n.admin_state} by {who}"
    if n.power != "on":
        return rest(n)
    if said := silence(zone):
        return f"its cluster controller is {said}"
    return silence(node)


def _drop(m: Any, key: Any) -> Any:
    return m.delete(key) if key in m else m


def _put_inner(m: Any, outer: str | int, key: str, value: Any) -> Any:
    return m.set(outer, m.get(outer, Map()).set(key, value))


def _drop_inner(m: Any, outer: str | int, key: str) -> Any:
    inner = m.get(outer)
    if inner is None or key not in inner:
        return m
    inner = inner.delete(key)
    return m.set(outer, inner) if inner else m.delete(outer)
