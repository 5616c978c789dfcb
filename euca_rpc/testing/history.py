"""What happened, kept as it happened, and the promises that are judged while it does.

    published views ─► ledger: every version of every instance's row, with its moment
    hosts' start logs ─► truth: what really ran, where, of which generation
    clients ─► asked: every request and what was answered, refused, or lost on the way

A promise that is broken raises `Broken` at the event that broke it, with the story of the machines concerned.  What can
only be said when all is quiet again is in `checks`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euca_rpc.clock import HOUR, Micros, iso
from euca_rpc.cloud import leases, lifecycle, waiting
from euca_rpc.cloud.view import View
from euca_rpc.testing.restless import NOTICES
from euca_rpc.types import End, Instance, Intent, LaunchRequest, Seen, Size

FENCED = "Server.NodeFenced"


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's request and what became of it."""

    at: Micros
    what: str
    ids: tuple[str, ...]
    request: LaunchRequest | None
    outcome: str  # "answered" | "refused" | "lost": nobody knows whether it was done
    account: str = ""
    reservation: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a host's own log."""

    at: Micros
    host: str
    what: str
    instance: str
    generation: int
    size: Size
    end: str


@dataclass
class Host:
    """A host's log, followed, and what it says is running."""

    node: str
    offer: Size
    log: Path
    read: int = 0
    running: dict[str, tuple[int, Size]] = field(default_factory=dict)

    def follow(self) -> list[Line]:
        if not self.log.exists() or self.log.stat().st_size == self.read:
            return []
        with self.log.open("rb") as file:
            file.seek(self.read)
            text = file.read()
        self.read += len(text)
        lines = []
        for raw in text.splitlines():
            v = json.loads(raw)
            size = Size(*v["size"]) if v["size"] else Size()
            lines.append(Line(v["at"], self.node, v["what"], v["instance"], v["generation"], size, v["end"]))
        return lines


def held(i: Instance) -> Size:
    """The same sum as `lifecycle.claim`, said again: all until it is known to be off, then its disk, then nothing."""
    if i.ended_at is not None:
        return Size()
    known_off = not i.attempted or (i.seen_generation == i.generation and i.seen in ("stopped", "absent"))
    return Size(0, 0, i.disk_gb) if i.intent != "running" and known_off else i.size


class History:
    def __init__(self, now: Callable[[], Micros]) -> None:
        self._now = now
        self.since: Micros = 0
        self.asked: list[Asked] = []
        self.notes: list[tuple[Micros, str]] = []
        self.lines: list[Line] = []
        self.hosts: dict[str, Host] = {}
        self.ledger: dict[str, list[tuple[Micros, Instance]]] = defaultdict(list)
        self.starts: Counter[tuple[str, int]] = Counter()
        self.lies: set[tuple[str, int]] = set()  # generations that a lying node claimed of its own machines
        self.omitted: set[tuple[str, str]] = set()  # (node, instance) that a lying node left out of a report
        self.resets: Counter[str] = Counter()
        self.promised: dict[str, Micros] = {}  # instance → not evicted before
        self.fenced: dict[str, Micros] = {}  # node → when its host was stated to be off
        self.recorded: dict[
            tuple[str, str], int
        ] = {}  # (node, instance) → generation in the node's own record
        self.holds: dict[str, set[str]] = {}  # node → instances that it last said it has
        self.may_fail: set[str] = set()  # instances whose failure was arranged
        self.view: View = View()
        self.verdict: Broken | None = (
            None  # the first; somebody's `except Exception` may have eaten the raise
        )

    # ------------------------------------------------------------------------------------------------ telling
    def note(self, text: str) -> None:
        self.notes.append((self._now(), text))

    def broken(self, sentence: str, *ids: str) -> Broken:
        verdict = Broken(f"{sentence}\n{self.story(ids)}")
        self.verdict = self.verdict or verdict
        return verdict

    def story(self, ids: Iterable[str] = (), last: int = 120) -> str:
        """One line per thing that happened, oldest first."""
        wanted = set(ids)
        told: list[tuple[Micros, str]] = list(self.notes)
        for line in self.lines:
            what = f"host {line.host}: {line.what} {line.instance} generation {line.generation} {line.end}"
            if not wanted or line.instance in wanted or not line.instance:
                told.append((line.at, what))
        for asked in self.asked:
            if not wanted or not asked.ids or wanted & set(asked.ids):
                named = " ".join(asked.ids) or (asked.request and f"{asked.request}") or ""
                told.append((asked.at, f"client: {asked.what} {named} → {asked.outcome} {asked.symbol}"))
        for id_ in sorted(wanted or self.ledger):
            for at, i in self.ledger.get(id_, ()):
                row = f"row {i.id} on {i.node}: {lifecycle.state(i)} = {i.intent}/{i.generation} × {i.seen}"
                row += f"/{i.seen_generation} attempts {i.attempts} reboots {i.seen_reboots}/{i.reboots} {i.reason}"
                told.append((at, row + (" ENDED" if i.ended_at is not None else "")))
        told.sort(key=lambda t: t[0])
        return "\n".join(f"  {iso(at)[11:23]} {text}" for at, text in told[-last:])

    # ------------------------------------------------------------------------------------------ what really ran
    def follow(self) -> None:
        """Read on in the hosts' logs and judge each line."""
        fresh = [line for host in self.hosts.values() for line in host.follow()]
        fresh.sort(key=lambda line: line.at)
        for line in fresh:
            self.lines.append(line)
            host = self.hosts[line.host]
            old = line.at < self.since  # from before this history began: taken over, judged by whoever saw it
            if line.what == "start":
                if old:
                    self.starts[line.instance, line.generation] += 1
                    host.running[line.instance] = (line.generation, line.size)
                else:
                    self._started(host, line)
            elif line.what == "stop":
                if old:
                    host.running.pop(line.instance, None)
                else:
                    self._stopped(host, line)
            elif line.what == "end":
                host.running.pop(line.instance, None)
            elif line.what == "power":
                host.running.clear()
            elif line.what == "sleep" and host.running and not old:
                raise self.broken(
                    f"{host.node} went to sleep with {', '.join(host.running)} on it", *host.running
                )
            elif line.what == "reboot" and old:
                self.resets[line.instance] += 1
            elif line.what == "reboot":
                self._reset(line)

    def _started(self, host: Host, line: Line) -> None:
        key = (line.instance, line.generation)
        self.starts[key] += 1
        if self.starts[key] > 1:
            raise self.broken(
                f"generation {line.generation} of {line.instance} was started twice", line.instance
            )
        for other in self.hosts.values():
            if line.instance in other.running:
                raise self.broken(f"{line.instance} runs on {other.node} and {host.node}", line.instance)
        row = self.row(line.instance)
        if row is None or line.generation > row.generation:
            raise self.broken(
                f"{line.instance}/{line.generation} was started, nobody asked for it", line.instance
            )
        if row.ended_at is not None:
            raise self.broken(f"{line.instance} was started after its end had been told", line.instance)
        host.running[line.instance] = (line.generation, line.size)
        total = sum((size for _, size in host.running.values()), Size())
        if not Size(total.cores, total.memory_mb).fits(host.offer):
            raise self.broken(f"{host.node} offers {host.offer} and runs {total}", *host.running)

    def _stopped(self, host: Host, line: Line) -> None:
        ran = host.running.pop(line.instance, None)
        if ran is None:
            return
        wishes = [r for _, r in self.ledger[line.instance]]
        wished = any(
            r.intent is Intent.TERMINATED
            or (r.intent is Intent.STOPPED and r.generation == ran[0])
            or r.generation > ran[0]
            for r in wishes
        )
        if not wished:
            raise self.broken(f"{line.instance} was taken down and nobody had asked for it", line.instance)

    def _reset(self, line: Line) -> None:
        self.resets[line.instance] += 1
        row = self.row(line.instance)
        wanted = row.reboots if row is not None else 0
        if self.resets[line.instance] > wanted:
            raise self.broken(
                f"{line.instance} was reset {self.resets[line.instance]} times, {wanted} asked", line.instance
            )

    def runs(self) -> dict[str, tuple[str, int]]:
        """Instance → (node, generation) of everything that runs now."""
        return {i: (h.node, g) for h in self.hosts.values() for i, (g, _) in h.running.items()}

    def reported(self, report: dict[str, Any]) -> None:
        """What a node says of a machine is never of an older generation than what it said or recorded before."""
        if "machines" in report:  # or else nothing has changed
            before = self.holds.get(report["node"], set()) if "since" in report else set()
            told = {m["instance_id"]: m["seen"] != Seen.ABSENT for m in report["machines"]}
            there = {id for id, is_there in told.items() if is_there}
            self.holds[report["node"]] = (before - told.keys() - set(report.get("gone", ()))) | there
        for machine in report.get("machines", ()):
            key, generation = (report["node"], machine["instance_id"]), machine["generation"]
            if generation < self.recorded.get(key, 0):
                raise self.broken(f"{key[0]} went back to generation {generation} of {key[1]}", key[1])
            self.recorded[key] = generation

    # ------------------------------------------------------------------------------------------- what was written
    def row(self, instance_id: str) -> Instance | None:
        versions = self.ledger.get(instance_id)
        return versions[-1][1] if versions else None

    def published(self, view: View) -> None:
        """Every view that anybody can see comes through here first."""
        before, self.view = self.view, view
        if view.leases is not before.leases:
            self._notices(before, view)
        if view.instances is before.instances and view.targets is before.targets:
            return
        self.follow()
        for node in view.nodes.values():
            left = view.on_node.get(node.id) if node.admin_state == "fenced" else None
            if left:
                raise self.broken(f"{node.id} is fenced and {', '.join(left)} wait for it", *left)
            if node.power != "on" and node.asked and (held := view.on_node.get(node.id)):
                raise self.broken(f"{node.id} is {node.power} and {', '.join(held)} are there", *held)
        if view.instances is not before.instances:
            changed = [
                (old, row)
                for row in view.instances.values()
                if (old := self.row(row.id)) is not row and old != row
            ]
            for old, row in sorted(changed, key=lambda pair: pair[1].id):
                self.ledger[row.id].append((self._now(), row))
                self._changed(old, row, before)
            self._addresses(view)
            self._quotas(view)
        self._claims(view)

    def _changed(self, old: Instance | None, new: Instance, before: View) -> None:
        if old is None or new.node != old.node:
            self._placed(new)
        if old is None:
            return
        if old.ended_at is not None:
            raise self.broken(f"{new.id} changed after its end: {old} → {new}", new.id)
        if old.intent is Intent.TERMINATED and new.intent is not Intent.TERMINATED:
            raise self.broken(f"{new.id} was resurrected", new.id)
        if new.generation < old.generation or new.reboots < old.reboots:
            raise self.broken(f"{new.id} went back", new.id)
        if old.node and not new.node:
            raise self.broken(f"{new.id} was placed on {old.node} and waits again", new.id)
        if new.node != old.node and old.attempted:
            raise self.broken(f"{new.id} was moved from {old.node}, where it may have been started", new.id)
        if (
            new.intent is Intent.RUNNING
            and old.intent is Intent.STOPPED
            and not self.was_asked("start", new.id)
        ):
            raise self.broken(f"{new.id} was started and nobody had asked for it", new.id)
        if new.generation > old.generation and old.intent is Intent.RUNNING:
            self._restarted(new)
        said = new.seen_generation == new.generation and new.seen is Seen.RUNNING
        told = (new.id, new.generation) in self.lies  # a node may lie about its own machines, and is believed
        if said and not told and not self.starts[new.id, new.generation]:
            raise self.broken(f"{new.id}/{new.generation} is said to run and was never started", new.id)
        if new.intent is Intent.TERMINATED and old.intent is not Intent.TERMINATED:
            self._terminated(old, new, before)
        if new.ended_at is not None:
            there = self.runs().get(new.id)
            if there is not None:
                raise self.broken(f"{new.id} is said to be over and runs on {there[0]}", new.id)

    def _placed(self, new: Instance) -> None:
        """A fenced host that came back gets nothing before it has let go of what it had."""
        rows = [row for i in self.holds.get(new.node, ()) if (row := self.row(i)) is not None]
        left = [
            r.id
            for r in rows
            if r.node == new.node and r.reason_code == FENCED and r.ended_at is not None
            if (r.node, r.id) not in self.omitted
        ]
        if left:
            raise self.broken(
                f"{new.id} was placed on {new.node}, which still has {', '.join(left)} of before it was fenced",
                new.id,
                *left,
            )

    def _restarted(self, new: Instance) -> None:
        hour = self._now() - HOUR
        recent = [
            at
            for (at, a), (_, b) in zip(self.ledger[new.id][1:], self.ledger[new.id], strict=False)
            if a.generation > b.generation and b.intent is Intent.RUNNING and at > hour
        ]
        if len(recent) > 3:
            raise self.broken(f"{new.id} was started again {len(recent)} times within an hour", new.id)
        gone_off = (
            line.what == "power"
            if line.host == new.node and not line.instance
            else (line.what, line.instance, line.generation) == ("end", new.id, new.generation - 1)
            for line in self.lines
        )
        if not any(gone_off):
            raise self.broken(f"{new.id} was started again although it had not gone off", new.id)

    def _terminated(self, old: Instance, new: Instance, before: View) -> None:
        """Each end has a cause that really happened; silence is none."""
        code = new.reason_code
        if code == "Client.UserInitiatedShutdown":
            cause = self.was_asked("terminate", new.id)
        elif code == "Client.InstanceInitiatedShutdown":
            cause = any(
                line.what == "end" and line.end == End.GUEST and line.generation == old.generation
                for line in self.lines
                if line.instance == new.id
            )
        elif code == FENCED:
            cause = new.node in self.fenced
        elif code == leases.EVICTED:
            cause = new.id in self.promised and self.promised[new.id] <= self._now()
        elif code == leases.ENDED:
            lease = before.leases.get(new.id)
            cause = lease is not None and lease.until <= self._now()
        elif code in (waiting.IN_VAIN, waiting.NOT_ALL):
            row = before.waiting_rows.get(new.reservation_id)
            late = row is not None and row.until <= self._now()
            cause = not old.node and (late or code == waiting.NOT_ALL)
        else:
            silent = _silent(self.view, new)
            late = old.deadline is not None and old.deadline <= self._now() and not silent
            hides = any(node == new.node for node, _ in self.omitted)  # what it hid may leave no room there
            cause = late or (new.seen is Seen.FAILED and (new.id in self.may_fail or hides))
        if not cause:
            raise self.broken(f"{new.id} was terminated without cause: {code} {new.reason}", new.id)

    def _notices(self, before: View, view: View) -> None:
        """Whoever is told to go has the time that was promised, whatever is said later."""
        for id, lease in view.leases.items():
            if not lease.evicted:
                self.promised.pop(id, None)
                continue
            old = before.leases.get(id)
            if old is None or not old.evicted:
                if id not in self.promised or lease.noticed == self._now():
                    self.promised[id] = lease.until
                if lease.until - (lease.noticed or 0) not in NOTICES:
                    raise self.broken(
                        f"{id} was told to go within {lease.until - (lease.noticed or 0)} µs", id
                    )
            elif old.until != lease.until:
                raise self.broken(f"{id} was to go at {old.until}, and then at {lease.until}", id)

    def was_asked(self, what: str, instance_id: str) -> bool:
        return any(a.what == what and instance_id in a.ids and a.outcome != "refused" for a in self.asked)

    def _addresses(self, view: View) -> None:
        alive = [i for i in view.instances.values() if i.ended_at is None]
        for name in ("public_address", "private_address", "mac"):
            twice = [v for v, n in Counter(getattr(i, name) for i in alive).items() if n > 1 and v]
            if twice:
                holders = [i.id for i in alive if getattr(i, name) == twice[0]]
                raise self.broken(f"the {name} {twice[0]} is held by {' and '.join(holders)}", *holders)

    def _quotas(self, view: View) -> None:
        tally = Counter(i.account_id for i in view.instances.values() if i.ended_at is None)
        for account, count in tally.items():
            limit = view.quota(f"account/{account}").instances
            if 0 <= limit < count:
                raise self.broken(f"account {account} has {count} instances, its quota is {limit}")

    def _claims(self, view: View) -> None:
        sums: dict[str, Size] = defaultdict(Size)
        for i in view.instances.values():
            sums[i.node] = sums[i.node] + held(i)
        for target in view.targets.values():
            if target.claimed != sums[target.id]:
                raise self.broken(
                    f"{target.id}: claims are {sums[target.id]}, the view says {target.claimed}"
                )
            if not target.claimed.fits(target.offer):
                raise self.broken(f"{target.id} offers {target.offer}, claimed are {target.claimed}")


def _silent(view: View, i: Instance) -> bool:
    contacts: list[Any] = [view.contacts.get(i.zone), view.contacts.get(i.node)]
    return any(c is None or c.heard_at is None or c.silent_since is not None for c in contacts)
