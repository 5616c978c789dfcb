"""What one policy says of targets, for one launch class: the core's arithmetic first, then `feasible`, then `score`.

    targets ─► unfit ─► the core's kind of reason
               └► fit ─► feasible ─► its No, or FAILED: closed
                         └► score ─► a number, or NEUTRAL

Targets are judged by rounds: one hook is asked of all of them before the next hook is.  A round is one call of the
isolation, so what it costs to watch, count and time a hook is paid once a round and not once a target.  Each call in it
has its own budget all the same, and a round ends at the first that raises: what comes of that is settled before the
policy is asked again.

A score that does not look at the class holds for all classes: it is asked once for each change of a target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from euca_rpc.policy.isolation import Calls, Raised, place_of
from euca_rpc.policy.loader import Policy
from euca_rpc.policy.ranking import FAILED, Ranking, Verdict, unfit
from euca_rpc.policy.values import No, Target

NEUTRAL = 0.5  # the score of a policy that has none, gives none or failed: order by id, as greedy

NOBODY: tuple[Target | None, float] = (None, NEUTRAL)  # of a target that was never rated

Hook = Callable[..., Any]
Failed = Callable[[str, str, str], None]  # policy, hook, trouble; raises when that tripped the policy


class Judge:
    """A `ranking.Judge`: of ``policy``, for the class of ``ranking``.  ``rated``: whether its score counts."""

    __slots__ = ("_calls", "_failed", "_feasible", "_policy", "_ranking", "_score", "_zone")

    def __init__(
        self, calls: Calls, policy: Policy, ranking: Ranking, zone: str, rated: bool, failed: Failed
    ) -> None:
        self._calls, self._policy, self._ranking, self._zone = calls, policy, ranking, zone
        self._failed = failed
        self._feasible: Hook | None = policy.hooks.get("feasible")
        self._score: Hook | None = policy.hooks.get("score") if rated else None

    def __call__(self, targets: Sequence[Target]) -> list[Verdict]:
        """Of each target, in order."""
        verdicts: list[Verdict] = [NEUTRAL] * len(targets)
        open_ = self._fitting(targets, verdicts)
        if open_ and self._feasible is not None:
            open_ = self._let_pass(self._feasible, targets, open_, verdicts)
        if open_ and self._score is not None:
            if self._policy.flat:
                self._rate_alike(self._score, targets, open_, verdicts)
            elif self._policy.classless:
                self._rate_once(self._score, targets, open_, verdicts)
            else:
                self._rate(self._score, targets, open_, verdicts)
        return verdicts

    def _fitting(self, targets: Sequence[Target], verdicts: list[Verdict]) -> list[int]:
        """By the core's arithmetic: most who fit are seen at a glance, of the others `unfit` says why not."""
        cls, zone = self._ranking.cls, self._zone
        architecture = cls.architecture
        cores, memory_mb, disk_gb = cls.size.parts()
        open_ = []
        for place, target in enumerate(targets):
            room = target.room
            fits = cores <= room.cores and memory_mb <= room.memory_mb and disk_gb <= room.disk_gb
            if not (fits and target.usable and target.architecture == architecture and target.zone == zone):
                why = unfit(cls, zone, target)
                if why is not None:
                    verdicts[place] = why
                    continue
            open_.append(place)
        return open_

    def _let_pass(
        self, feasible: Hook, targets: Sequence[Target], open_: list[int], verdicts: list[Verdict]
    ) -> list[int]:
        answers = self._round("feasible", feasible, targets, open_)
        against = [(place, said) for place, said in zip(open_, answers, strict=True) if said is not None]
        for place, said in against:
            if isinstance(said, No):
                verdicts[place] = said
            else:
                verdicts[place] = FAILED
                if type(said) is not Raised:
                    trouble = f"feasible returned {said!r:.100}, not None or No{place_of(feasible)}"
                    self._failed(self._policy.name, "feasible", trouble)
        return [place for place in open_ if verdicts[place] is NEUTRAL] if against else open_

    def _rate(
        self, score: Hook, targets: Sequence[Target], open_: list[int], verdicts: list[Verdict]
    ) -> None:
        for place, said in zip(open_, self._round("score", score, targets, open_), strict=True):
            if type(said) is float and 0.0 <= said <= 1.0:  # NaN is not
                verdicts[place] = said
            elif type(said) is int and 0 <= said <= 1:  # True is no number here
                verdicts[place] = float(said)
            elif said is not None and type(said) is not Raised:
                trouble = f"score returned {said!r:.100}, not a number from 0 to 1{place_of(score)}"
                self._failed(self._policy.name, "score", trouble)

    def _rate_alike(
        self, score: Hook, targets: Sequence[Target], open_: list[int], verdicts: list[Verdict]
    ) -> None:
        """It does not look at the target: the first number holds for all."""
        ranking = self._ranking
        for place in open_:
            if (flat := ranking.flat) is not None:
                verdicts[place] = flat
            else:
                self._rate(score, targets, [place], verdicts)
                if (said := verdicts[place]) is not NEUTRAL:  # that one may have failed
                    ranking.flat = said  # type: ignore[assignment]

    def _rate_once(
        self, score: Hook, targets: Sequence[Target], open_: list[int], verdicts: list[Verdict]
    ) -> None:
        """It does not look at the class: what it said of this very target for another one holds."""
        known = self._ranking.known
        new = []
        for place in open_:
            target = targets[place]
            of, before = known.get(target.id, NOBODY)
            if of is target:
                verdicts[place] = before
            else:
                new.append(place)
        if new:
            self._rate(score, targets, new, verdicts)
            for place in new:
                if (said := verdicts[place]) is not NEUTRAL:  # that one may have failed
                    known[targets[place].id] = (targets[place], said)  # type: ignore[assignment]

    def _round(self, hook: str, function: Hook, targets: Sequence[Target], places: list[int]) -> list[Any]:
        """An answer for each place; where it raised, which is settled here, a `Raised`."""
        name, cls, each = self._policy.name, self._ranking.cls, self._calls.each
        asked = targets if len(places) == len(targets) else [targets[place] for place in places]
        said = each(name, hook, function, cls, asked)
        while type(said[-1]) is Raised:
            self._failed(name, hook, str(said[-1]))
            if len(said) == len(places):
                break
            said += each(name, hook, function, cls, asked[len(said) :])
        return said
