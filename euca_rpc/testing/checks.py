"""What must hold whenever one looks, and what must be true again when all is quiet.

The promises about single events are in `history`; these compare the parts with each other: the view with the disk, the
answers with the rows, the rows with what runs on the hosts, the usage rows with each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from euca_rpc.clock import MINUTE, SECOND, Micros
from euca_rpc.cloud import lifecycle, reconcile
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.node.record import LOG, Record, Tombstone, remembered
from euca_rpc.policy.values import Tally
from euca_rpc.testing.history import FENCED, History
from euca_rpc.testing.history import held as claimed
from euca_rpc.testing.network import Sent
from euca_rpc.types import Instance, Intent, Seen, Size, Token, Usage

_SOFT = {"number", "contacts", "targets", "log", "roster_version", "opened", "asked_again", "line"}


def view_is_disk(history: History, view: View, store: Store, now: Micros) -> None:
    """The published view is what a restart would find."""
    disk = open_view(store, now)
    horizon = now - lifecycle.VISIBLE_AFTER_END
    for name in (name for name in View._fields if name not in _SOFT):
        here, there = _plain(getattr(view, name)), _plain(getattr(disk, name))
        if name in ("instances", "reservations", "ended", "by_account"):  # what ends its hour may leave later
            over = {i for minute, ids in view.ended.items() for i in ids if minute * MINUTE < horizon}
            if over:
                continue
        if here != there:
            differing = sorted(k for k in {*here, *there} if here.get(k) != there.get(k))
            raise history.broken(
                f"view.{name} is not what the disk says: {differing[:3]}: "
                f"{here.get(differing[0])} ≠ {there.get(differing[0])}"
            )


def _plain(rows: Any) -> dict[Any, Any]:
    """Sums of nothing and empty maps are the same as none."""
    if not hasattr(rows, "items"):
        rows = {"": rows}
    plain = {k: _plain(v) if hasattr(v, "items") else v for k, v in rows.items()}
    return {k: v for k, v in plain.items() if v not in (Size(), Tally(), {})}


def answers_hold(history: History, store: Store) -> None:
    """What was answered is on the disk, for ever."""
    rows: dict[str, Instance] = {r.id: r for r in store.select(Instance)}
    for asked in history.asked:
        if asked.outcome != "answered":
            continue
        for id_ in asked.ids:
            row = rows.get(id_)
            if row is None:
                raise history.broken(f"{id_} was answered to a client and is not on the disk", id_)
            if asked.what == "terminate" and row.intent is not Intent.TERMINATED:
                raise history.broken(f"{id_} was terminated for a client and is {row.intent}", id_)
    per_token: dict[tuple[str, str], set[str]] = defaultdict(set)
    for asked in history.asked:
        if asked.request is not None and asked.request.client_token and asked.reservation:
            per_token[asked.account, asked.request.client_token].add(asked.reservation)
    for key, reservations in per_token.items():
        if len(reservations) > 1:
            raise history.broken(f"the token {key} launched {len(reservations)} times: {reservations}")
    tokened: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows.values():
        if row.client_token:
            tokened[row.account_id, row.client_token].add(row.reservation_id)
    for (account, text), made in tokened.items():
        if len(made) > 1:
            raise history.broken(f"the token {text} of {account} has {len(made)} reservations: {made}")
        if store.one(Token, f"{account}/{text}") is None:
            raise history.broken(f"the token {text} of {account} was launched with and is not remembered")


def usage_adds_up(history: History, store: Store, *, quiet: bool = False) -> None:
    """No moment is charged twice, none that was used is missing, nothing is charged after the end."""
    rows: dict[str, list[Usage]] = defaultdict(list)
    for usage in store.select(Usage):
        rows[usage.instance_id].append(usage)
    for id_, usages in rows.items():
        usages.sort(key=lambda u: u.began)
        for first, then in pairwise(usages):
            if first.ended is None or first.ended > then.began:
                raise history.broken(f"{id_} is charged twice: {first} and {then}", id_)
        for usage in usages:
            if usage.ended is not None and usage.ended < usage.began:
                raise history.broken(f"{id_} is charged for less than nothing: {usage}", id_)
        row = store.one(Instance, id_)
        assert row is not None
        if row.ended_at is not None and usages[-1].ended is None:
            raise history.broken(f"{id_} is over and still charged: {usages[-1]}", id_)
    for id_, versions in history.ledger.items():
        first_seen: dict[int, Micros] = {}
        for at, row in versions:
            if row.seen is Seen.RUNNING and row.seen_generation == row.generation:
                first_seen.setdefault(row.generation, at)
        charged = {int(u.id.rpartition("/")[2]): u for u in rows[id_]}
        for generation, at in first_seen.items():
            found = charged.get(generation)
            if found is None or found.began > at:
                raise history.broken(f"{id_}/{generation} ran from {at} and is charged as {found}", id_)


def leases_end(history: History, view: View, now: Micros) -> None:
    """A machine that should run has the time that its lease gives it, and no more."""
    for lease in view.leases.values():
        row = view.instances.get(lease.id)
        if row is not None and row.intent is Intent.RUNNING and lease.until + 30 * SECOND < now:
            raise history.broken(
                f"the lease of {row.id} ended at {lease.until}, and it is wanted to run", row.id
            )


def disks_are_there(history: History, homes: dict[str, Path], wiped: set[str]) -> None:
    """A disk goes only because of a recorded terminate, and a fenced host's is set aside."""
    for id_, versions in history.ledger.items():
        row = versions[-1][1]
        if not row.node:
            continue  # it waited to its end
        ran = any(g for (i, g), n in history.starts.items() if i == id_ and n)
        home = homes[row.node]
        here = (home / "instances" / id_ / "disk.none").exists()
        aside = any((home / "set-aside").glob(f"{id_}-*"))
        if not ran or here or aside or id_ in wiped:
            continue
        if row.intent is not Intent.TERMINATED:
            raise history.broken(f"the disk of {id_} is gone and nobody had asked for it", id_)
        if row.reason_code == FENCED and not any(
            r.intent is Intent.TERMINATED and r.reason_code != FENCED for _, r in versions
        ):
            raise history.broken(f"{id_} was fenced and its disk was deleted, not set aside", id_)
        if id_ not in _remembered(home)[1]:
            raise history.broken(f"the disk of {id_} was deleted without a tombstone", id_)


def _remembered(home: Path) -> tuple[dict[str, Record], dict[str, Tombstone]]:
    path = home / LOG
    if not path.exists():
        return {}, {}
    stat = path.stat()
    return _read(home, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(home: Path, *version: int) -> tuple[dict[str, Record], dict[str, Tombstone]]:
    """Once for each state of the file: one looks after every event."""
    return remembered(home)


def nodes_never_go_back(history: History, homes: dict[str, Path]) -> None:
    """What a node has accepted of one generation is never replaced by an older one."""
    for node, home in homes.items():
        for id_, record in _remembered(home)[0].items():
            key, generation = (node, id_), record.generation
            if generation < history.recorded.get(key, 0):
                raise history.broken(
                    f"{node} went back to generation {generation} of {key[1]}, it had {history.recorded[key]}",
                    key[1],
                )
            history.recorded[key] = generation


def nobody_is_pestered(history: History, sent: list[Sent]) -> None:
    """A call about one instance is repeated no sooner than the backoff says, by one and the same cloud controller."""
    last: dict[Any, Micros] = {}
    for call in sent:
        if call.process.name != "euca.cloud" or call.method not in ("ensure", "stop", "reboot"):
            continue
        for item in call.args.get("specs") or call.args.get("items"):
            versions = history.ledger[item["instance_id"]]
            if any(r.seen is Seen.NOTHING and r.seen_generation for _, r in versions):
                continue  # its node no longer mentioned it: it may be asked at once
            key = (call.process, call.method, item["instance_id"], item["generation"], item["reboots"])
            if call.at - last.get(key, -10 * SECOND) < reconcile.BACKOFF[0]:
                raise history.broken(f"{key[1:]} was sent again at once", item["instance_id"])
            last[key] = call.at


def everything_waits_for_something(history: History, view: View, now: Micros, late: Micros) -> None:
    """Whatever is not final has a deadline ahead of it, or says why it waits."""
    for id_ in (*view.unsettled, *(i for w in view.waiting.values() for i in w.instance_ids)):
        row = view.instances[id_]
        if row.deadline is None and not row.reason and lifecycle.state(row) != lifecycle.RUNNING:
            raise history.broken(f"{id_} is {lifecycle.state(row)}, without deadline and without reason", id_)
        if row.deadline is not None and row.deadline + late < now:
            raise history.broken(f"the deadline of {id_} passed and nothing happened", id_)


def waiting_holds_nothing(history: History, view: View) -> None:
    """Who waits is in the line, has an end ahead, and nothing else; who is in the line waits."""
    waits = {i.id for i in view.instances.values() if lifecycle.waits(i)}
    lined = {i for w in view.waiting.values() for i in w.instance_ids}
    if waits != lined:
        raise history.broken(f"wait, or stand in the line, but not both: {waits ^ lined}", *(waits ^ lined))
    for id_ in waits:
        row = view.instances[id_]
        held = (row.public_address, row.private_address, row.attempted, row.running_since)
        if any(held) or lifecycle.claim(row) != Size():
            raise history.broken(f"{id_} waits and holds {held}", id_)
    asked: dict[str, Size] = defaultdict(Size)
    for i in view.instances.values():
        asked[i.account_id] += claimed(i)
    for account, size in asked.items():
        tally = view.tallies.get(f"account/{account}", Tally())
        if tally.size != size:
            raise history.broken(f"account {account} has {size}, and {tally.size} count against its quota")


def all_is_settled(history: History, view: View) -> None:
    """What is wanted is what is seen, and what is seen is what runs."""
    history.follow()
    for id_ in view.unsettled:
        raise history.broken(f"{id_} never settles: {lifecycle.state(view.instances[id_])}", id_)
    expected = {
        i.id: (i.node, i.generation)
        for i in view.instances.values()
        if lifecycle.state(i) == lifecycle.RUNNING
    }
    runs = history.runs()
    if runs != expected:
        differing = {i for i in {*runs, *expected} if runs.get(i) != expected.get(i)}
        raise history.broken(
            f"what runs is not what is said to run: {[(i, runs.get(i), expected.get(i)) for i in differing]}",
            *differing,
        )


def capacity_is_back(history: History, view: View, offers: dict[str, Size]) -> None:
    """After everything was terminated there is exactly as much room as there was."""
    for node, offer in offers.items():
        target = view.targets[node]
        if target.offer != offer or target.room != offer:
            raise history.broken(f"{node} offers {offer} and has room for {target.room}")
    for scope, tally in view.tallies.items():
        if tally.instances or tally.size != Size():
            raise history.broken(f"{scope} holds {tally} of nothing")
    if view.addresses:
        raise history.broken(f"addresses are held by nobody: {dict(view.addresses)}")
    waiting = Counter(i.ended_at is None for i in view.instances.values())[True]
    if waiting:
        raise history.broken(f"{waiting} instances are not over")
