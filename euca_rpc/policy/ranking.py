"""The targets of one zone in the order in which one policy wants them for one launch class.

    target changed ─► dirty ─► refresh: judge again ─► live: on the heap by (-score, id)
                                                   └─► out: the core's kind, or the policy's No

A lazy heap: what a target's last judgement said is in `live`; older entries of it stay in the heap and are thrown
away when they come to the top.  So a launch looks at the targets that changed since the last one, not at all of
them; the changes come from the snapshots' own log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from euca_rpc.policy.values import LaunchClass, No, Snapshot, Target

Entry = tuple[float, str]  # (-score, target id): the smallest is the best, ties go to the lower id
Verdict = float | str | No  # a score; or why not: the core's kind of reason, or what the policy said
Judge = Callable[[Sequence[Target]], list[Verdict]]  # of each target, in order
Key = tuple[str, int, LaunchClass]  # policy, its epoch, class
Known = dict[str, tuple[Target, float]]  # target id → the score of this very target

KEPT = 250  # rankings kept per zone; classes beyond that are ranked anew each time they come round
FAILED = "failed"  # the policy's `feasible` failed on this target: closed, and asked again next time


def unfit(cls: LaunchClass, zone: str | None, target: Target) -> str | None:
    """The core's own arithmetic, in the order in which reasons are given; None = it fits."""
    if zone is not None and target.zone != zone:
        return "zone"
    if target.architecture != cls.architecture and (target.architecture or target.usable):
        return "architecture"  # a node that never reported has none; that is told as unusable
    if not target.usable:
        return "unusable"
    return None if cls.size.fits(target.room) else "room"


class Ranking:
    def __init__(self, policy: str, cls: LaunchClass, members: set[str], known: Known) -> None:
        self.policy = policy
        self.cls = cls
        self.dirty = set(members)
        self.out: dict[str, str | No] = {}
        self.flat: float | None = None  # the score of every target, of a policy that does not look at them
        self.known = known  # shared by all classes, of a policy that does not look at those
        self._live: dict[str, Entry] = {}
        self._heap: list[Entry] = []

    def refresh(self, targets: Mapping[str, Target], zone: str, judge: Judge) -> None:
        if not self.dirty:
            return
        # a fresh set, never `pop`: one that was large once is searched at its old size for ever
        dirty, self.dirty = self.dirty, set()
        live, out, heap = self._live, self.out, self._heap
        there = []
        for id in dirty:
            target = targets.get(id)
            if target is not None and target.zone == zone:
                there.append(target)
            else:
                live.pop(id, None)
                out.pop(id, None)
        try:
            verdicts = judge(there)
        except BaseException:  # the job ends, or is done again elsewhere: then all are judged again
            self.dirty |= dirty
            raise
        for target, verdict in zip(there, verdicts, strict=True):
            id = target.id
            if isinstance(verdict, float):
                if id in out:
                    del out[id]
                before = live.get(id)
                if before is None or before[0] != -verdict:
                    entry = (-verdict, id)
                    live[id] = entry
                    heappush(heap, entry)
            else:
                live.pop(id, None)
                out[id] = verdict
                if verdict == FAILED:
                    self.dirty.add(id)
        if len(self._heap) > 2 * len(self._live) + 64:  # mostly entries that nothing refers to any more
            self._heap = list(self._live.values())
            heapify(self._heap)

    def best(self) -> Entry | None:
        heap, live = self._heap, self._live
        while heap:
            entry = heap[0]
            if live.get(entry[1]) is entry:
                return entry
            heappop(heap)
        return None

    def take(self, wanted: int, targets: Mapping[str, Target], last_used: int, judge: Judge) -> list[str]:
        """Targets for up to ``wanted`` machines, one after another; each one placed counts for the next.  The first
        k of n are the same as for k.  The ranking itself stays as it was."""
        chosen: list[str] = []
        touched: list[tuple[float, str, Target]] = []  # a heap of those that hold some of this batch
        aside: list[Entry] = []
        try:
            while len(chosen) < wanted:
                entry = self.best()
                if touched and (entry is None or touched[0][:2] < entry):
                    target = heappop(touched)[2]
                elif entry is not None:
                    aside.append(heappop(self._heap))
                    target = targets[entry[1]]
                else:
                    break
                chosen.append(target.id)
                target = replace(
                    target,
                    claimed=target.claimed + self.cls.size,
                    machines=target.machines + 1,
                    batch=target.batch + 1,
                    last_used=last_used + len(chosen),
                )
                (verdict,) = judge((target,))
                if isinstance(verdict, float):
                    heappush(touched, (-verdict, target.id, target))
        finally:
            for entry in aside:
                heappush(self._heap, entry)
        return chosen


class Rankings:
    """All rankings, kept up with the snapshots they are asked for, newer or older."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Start from nothing."""
        self._snapshot: Snapshot | None = None
        self._members: dict[str, set[str]] = {}  # zone → its targets
        self._zone_of: dict[str, str] = {}
        # zone → the most recently used last; plain dicts, because going through an OrderedDict hashes every key
        self._rankings: dict[str, dict[Key, Ranking]] = {}
        self._known: dict[tuple[str, int, str], Known] = {}  # by policy, its epoch, zone
        self._highest: int | None = None  # last_used of all targets; None = look again when it is needed

    @property
    def zones(self) -> list[str]:
        return sorted(self._members)

    def sync(self, snapshot: Snapshot) -> None:
        before = self._snapshot
        if before is snapshot:
            return
        changed: Iterable[str] | None = None
        if before is not None:
            if before.number < snapshot.number:
                changed = snapshot.targets_changed(before.number)
            elif before.number > snapshot.number:  # another thread was faster with a newer one: the way back
                changed = before.targets_changed(snapshot.number)
            elif before.targets is snapshot.targets:
                changed = ()
        if changed is None:
            self._forget()
            changed = snapshot.targets
        targets = snapshot.targets
        for id in changed:
            target = targets.get(id)
            old = self._zone_of.get(id)
            if target is None:
                if old is not None:
                    del self._zone_of[id]
                    self._members[old].discard(id)
                    if not self._members[old]:
                        del self._members[old]
            elif old != target.zone:
                if old is not None:
                    self._members[old].discard(id)
                self._zone_of[id] = target.zone
                self._members.setdefault(target.zone, set()).add(id)
            for zone in (old,) if target is None or old == target.zone else (old, target.zone):
                for ranking in self._rankings.get(zone or "", {}).values():
                    ranking.dirty.add(id)
            self._highest = None
        self._snapshot = snapshot

    def of(self, policy: str, epoch: int, cls: LaunchClass, zone: str) -> Ranking:
        """``epoch``: the policy's; its answers from before it was tripped or reset do not count."""
        key = (policy, epoch, cls)
        kept = self._rankings.setdefault(zone, {})
        ranking = kept.pop(key, None)
        if ranking is None:
            known = self._known.setdefault((policy, epoch, zone), {})
            ranking = Ranking(policy, cls, self._members.get(zone, set()), known)
            if len(kept) >= KEPT:
                del kept[next(iter(kept))]
        kept[key] = ranking
        return ranking

    def last_used(self) -> int:
        if self._highest is None:
            assert self._snapshot is not None
            self._highest = max((t.last_used for t in self._snapshot.targets.values()), default=0)
        return self._highest
