"""The targets of one zone in the order in which one policy wants them for one launch class.

    target changed ─► news ─► refresh: judge again ─► entered: its score, and with that score its id
                                              └─► out: the core's kind, or the policy's No

Lazy heaps, one of the scores and one for each score of the targets that have it: both are small where nodes are alike, and
what is small stays in the processor's caches.  What a target's last judgement said is in `_said`; older entries stay and
are thrown away when they come to the top.  So a launch looks at the targets that changed since the last one, not at all
of them; the changes come from the snapshots' own log.  A change is written down once for its zone, however many classes are
ranked there, and each ranking reads on from where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush

from euca_rpc.policy.values import LaunchClass, No, Snapshot, Target

Entry = tuple[float, str]  # (-score, target id): the smallest is the best, ties go to the lower id
Verdict = float | str | No  # a score; or why not: the core's kind of reason, or what the policy said
Judge = Callable[[Sequence[Target]], list[Verdict]]  # of each target, in order
Key = tuple[str, int, LaunchClass]  # policy, its epoch, class
Known = dict[str, tuple[Target, float]]  # target id → the score of this very target

KEPT = 250  # rankings kept per zone; classes beyond that are ranked anew each time they come round
MOST_NEWS = 100_000  # ids of changed targets kept for rankings that were not asked since
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


class Zone:
    """The targets of one zone as they are, and the ids of those that changed, in order."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}
        self.news: list[str] = []
        self.rankings: dict[Key, Ranking] = {}
        self.known: dict[tuple[str, int], Known] = {}  # by policy and its epoch

    def put(self, target: Target) -> None:
        self.targets[target.id] = target
        self.news.append(target.id)

    def remove(self, id: str) -> None:
        del self.targets[id]
        self.news.append(id)

    def forget_news(self) -> None:
        """Before they are too many; all rankings have read them."""
        for ranking in self.rankings.values():
            ranking.read()
        self.news = []


class Ranking:
    def __init__(self, policy: str, cls: LaunchClass, zone: Zone, known: Known) -> None:
        self.policy = policy
        self.cls = cls
        self.asked = 0  # ordinal of the last time that it was asked for
        self.flat: float | None = None  # the score of every target, of a policy that does not look at them
        self.known = known  # shared by all classes, of a policy that does not look at those
        self._zone = zone
        self._news, self._read = zone.news, len(zone.news)
        self._dirty: dict[str, None] = dict.fromkeys(zone.targets)
        self._said: dict[str, Verdict] = {}  # of each target's last judgement; scores negative
        self._scores: list[float] = []  # a heap of those that somebody has, or had
        # score → the target that has it, or had it; of several a heap
        self._having: dict[float, str | list[str]] = {}
        self._entered = 0

    def out(self, id: str) -> str | No | None:
        """Why it is not in the ranking; None if it is."""
        said = self._said.get(id)
        return None if isinstance(said, float) else said

    def read(self) -> None:
        """What changed since is to be judged again."""
        if self._news is not self._zone.news:  # which was begun anew
            self._dirty.update(dict.fromkeys(self._news[self._read :]))
            self._news, self._read = self._zone.news, 0
        if self._read < len(self._news):
            news = dict.fromkeys(self._news[self._read :])
            self._dirty = self._dirty | news if self._dirty else news
            self._read = len(self._news)

    def refresh(self, judge: Judge) -> None:
        self.read()
        dirty, there = self._dirty, self._zone.targets
        if not dirty:
            return
        targets = [target for target in map(there.get, dirty) if target is not None]
        verdicts = judge(targets)  # if it raises, the job ends, or is done again elsewhere: all stay dirty
        self._dirty = {}  # never emptied: what was large once is slow to go through for ever
        said, enter = self._said, self._enter
        if len(targets) < len(dirty):
            for id in dirty.keys() - there.keys():
                said.pop(id, None)
        for target, verdict in zip(targets, verdicts, strict=True):
            id = target.id
            if isinstance(verdict, float):
                score = -verdict
                if said.get(id) != score:
                    said[id] = score
                    enter(score, id)
            else:
                said[id] = verdict
                if verdict is FAILED:
                    self._dirty[id] = None
        if self._entered > 2 * len(said) + 64:  # mostly entries that do not hold any more
            self._scores, self._having, self._entered = [], {}, 0
            for id, of in said.items():
                if isinstance(of, float):
                    self._enter(of, id)

    def _enter(self, score: float, id: str) -> None:
        having = self._having.get(score)
        if having is None:
            self._having[score] = id  # where scores differ a list for each would be most of the memory
            heappush(self._scores, score)
        elif isinstance(having, str):
            self._having[score] = [having, id] if having < id else [id, having]
        else:
            heappush(having, id)
        self._entered += 1

    def best(self, but: Container[str] = ()) -> Entry | None:
        """The one to take, of those that are not in ``but``, which are not looked at again."""
        scores, said = self._scores, self._said
        while scores:
            score = scores[0]
            having = self._having[score]
            if isinstance(having, str):
                having = [having]
            while having:
                if said.get(having[0]) == score and having[0] not in but:
                    return score, having[0]
                heappop(having)
                self._entered -= 1
            del self._having[heappop(scores)]
        return None

    def take(self, wanted: int, targets: Mapping[str, Target], last_used: int, judge: Judge) -> list[str]:
        """Targets for up to ``wanted`` machines, one after another; each one placed counts for the next.  The first
        k of n are the same as for k.  The ranking itself stays as it was."""
        chosen: list[str] = []
        touched: list[tuple[float, str, Target]] = []  # a heap of those that hold some of this batch
        aside: dict[str, float] = {}
        try:
            while len(chosen) < wanted:
                entry = self.best(aside)
                if touched and (entry is None or touched[0][:2] < entry):
                    target = heappop(touched)[2]
                elif entry is not None:
                    aside[entry[1]] = entry[0]
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
            for id, score in aside.items():
                self._enter(score, id)
        return chosen


class Rankings:
    """All rankings, kept up with the snapshots they are asked for, newer or older."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Start from nothing."""
        self._snapshot: Snapshot | None = None
        self._asked = 0
        self._there: dict[str, Target] = {}
        self._zones: dict[str, Zone] = {}
        self._highest: int | None = None  # last_used of all targets; None = look again when it is needed

    @property
    def zones(self) -> list[str]:
        return sorted(name for name, zone in self._zones.items() if zone.targets)

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
        targets, there = snapshot.targets, self._there
        for id in changed:
            self._change(id, there.get(id), targets.get(id))
        self._snapshot = snapshot
        for zone in self._zones.values():
            if len(zone.news) > MOST_NEWS:
                zone.forget_news()

    def _change(self, id: str, old: Target | None, new: Target | None) -> None:
        if old is not None and (new is None or new.zone != old.zone):
            del self._there[id]
            self._zones[old.zone].remove(id)
        if new is not None:
            self._there[id] = new
            self._zone(new.zone).put(new)
        if self._highest is not None:
            if new is not None and new.last_used >= self._highest:
                self._highest = new.last_used
            elif old is not None and old.last_used == self._highest:
                self._highest = None

    def _zone(self, name: str) -> Zone:
        zone = self._zones.get(name)
        if zone is None:
            zone = self._zones[name] = Zone()
        return zone

    def of(self, policy: str, epoch: int, cls: LaunchClass, zone: str) -> Ranking:
        """``epoch``: the policy's; its answers from before it was tripped or reset do not count."""
        key, place = (policy, epoch, cls), self._zone(zone)
        kept = place.rankings
        ranking = kept.get(key)
        if ranking is None:
            if len(kept) >= KEPT:
                del kept[min(kept, key=lambda one: kept[one].asked)]
            known = place.known.setdefault((policy, epoch), {})
            ranking = kept[key] = Ranking(policy, cls, place, known)
        self._asked += 1
        ranking.asked = self._asked
        return ranking

    def last_used(self) -> int:
        if self._highest is None:
            self._highest = max((t.last_used for t in self._there.values()), default=0)
        return self._highest
