"""Several policies on one workload, side by side over all cores, and which differences between them mean something.

    policies × seeds ─► worker processes (one experiment each) ─► Run ─► Comparison

Seed 0 is the workload as it is; seeds 1 … K are block bootstraps of it (`workload.resample`), the same ones for every
policy, so that differences are taken within a seed.  A single run has no interval, and none is made up.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from typing import Any

from euca_rpc.clock import SECOND
from euca_rpc.lab import run
from euca_rpc.lab.figures import Figures, curve, figures
from euca_rpc.lab.record import RECORDED, STILL_WAITING, Decision, Record, as_recorded
from euca_rpc.lab.workload import Workload, resample

POINTS = 600  # of a plotted curve
FEWEST = 6  # seeds below which no difference can be called significant: 2 / 2⁵ > 0.05
EXACT = 12  # up to so many seeds every sign pattern is looked at
DRAWS = 10_000  # else so many of them
LEVEL = 0.05


# seconds, share of cores claimed, active nodes; requests refused so far, requests neither launched nor refused yet
Load = tuple[float, float, int, int, int]


@dataclass(frozen=True, slots=True)
class Run:
    policy: str
    seed: int
    seconds: float  # that it took
    figures: Figures
    load: tuple[Load, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one figure between a policy and the first one, over the seeds; ``low`` and ``high`` are its 95 % interval."""

    policy: str
    figure: str
    mean: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        return self.p < LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    workload: Workload
    plan: run.Plan
    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]

    def document(self) -> dict[str, Any]:
        """Everything but the decisions, as plain values for JSON; None stands for *not defined*."""
        w, site = self.workload, self.plan.site
        return {
            "workload": {
                "name": w.name,
                "requests": len(w.requests),
                "seconds": w.length / SECOND,
                "undefined": sorted(w.undefined),
                "notes": list(w.notes),
            },
            "site": {
                zone.name: {"nodes": len(zone.hosts), "cores": sum(h.offer.cores for h in zone.hosts)}
                for zone in site.zones
            },
            "refused": self.plan.refused,
            "beside": list(self.plan.beside),
            "parameters": self.plan.parameters,
            "runs": [
                {
                    "policy": r.policy,
                    "seed": r.seed,
                    "seconds": round(r.seconds, 3),
                    "figures": asdict(r.figures),
                    "load": r.load,
                }
                for r in self.runs
            ],
            "differences": [asdict(d) | {"significant": d.significant} for d in self.differences],
        }


def compare(
    workload: Workload,
    plan: run.Plan,
    policies: Sequence[str],
    seeds: int = 0,
    progress: Callable[[float], None] = lambda share: None,
    processes: int | None = None,
) -> Comparison:
    """Run every policy on the workload and on ``seeds`` resamples of it.  EucaError: an unknown policy, parameter
    or plan."""
    run.check(plan, [name for name in policies if name != RECORDED])
    jobs = [(policy, seed) for seed in range(seeds + 1) for policy in policies]
    done = list(
        _side_by_side(workload, plan, jobs, progress, min(processes or os.cpu_count() or 1, len(jobs)))
    )
    order = {job: place for place, job in enumerate(jobs)}
    done.sort(key=lambda r: order[r.policy, r.seed])
    return Comparison(workload, plan, tuple(done), tuple(differences(done, policies)))


def _side_by_side(
    workload: Workload,
    plan: run.Plan,
    jobs: Sequence[tuple[str, int]],
    progress: Callable[[float], None],
    processes: int,
) -> Iterator[Run]:
    if processes == 1:
        for number, (policy, seed) in enumerate(jobs):
            yield _one(
                workload,
                plan,
                policy,
                seed,
                lambda share, n=number: progress((n + share) / len(jobs)),  # type: ignore[misc]
            )
        return
    spawned = multiprocessing.get_context("spawn")  # forking a process that has threads is asking for trouble
    shares = spawned.Array("d", len(jobs))
    with ProcessPoolExecutor(processes, spawned, _begin, (shares, workload, plan)) as pool:
        waiting = {pool.submit(_part, number, *job) for number, job in enumerate(jobs)}
        try:
            while waiting:
                ended, waiting = wait(waiting, 0.2, FIRST_COMPLETED)
                progress(sum(shares[:]) / len(jobs))
                for future in ended:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()


_given: tuple[Any, Workload, run.Plan]


def _begin(shares: Any, workload: Workload, plan: run.Plan) -> None:
    global _given
    _given = (shares, workload, plan)
    gc.freeze()  # what is here now stays, and an experiment makes little that is in a cycle: 3 % of its time
    gc.set_threshold(50_000, 20, 100)


def _part(number: int, policy: str, seed: int) -> Run:
    shares, workload, plan = _given

    def progress(share: float) -> None:
        shares[number] = share

    return _one(workload, plan, policy, seed, progress)


def _one(
    workload: Workload, plan: run.Plan, policy: str, seed: int, progress: Callable[[float], None]
) -> Run:
    began = time.perf_counter()
    drawn = resample(workload, seed)
    if policy == RECORDED:
        record = as_recorded(drawn, plan.site)
    else:
        record = run.simulate(drawn, of_policy(plan, policy), progress)
    seconds = time.perf_counter() - began
    return Run(policy, seed, seconds, figures(record), _load(record), record.decisions if seed == 0 else ())


def of_policy(plan: run.Plan, policy: str) -> run.Plan:
    """The plan of one of the policies compared: with the parameters of those that are loaded in its run."""
    loaded = {policy, *plan.beside}
    own = {name: value for name, value in plan.parameters.items() if name.partition(".")[0] in loaded}
    return replace(plan, policy=policy, parameters=own)


def _load(record: Record) -> tuple[Load, ...]:
    """The load at so many moments, evenly spaced."""
    offered, end = record.site.offer.cores, record.workload.length
    asked = [request.at for request in record.workload.requests]  # in order, as the decisions are
    decided = [decision.at for decision in record.decisions if decision.symbol != STILL_WAITING]
    refused = [d.at for d in record.decisions if d.symbol not in ("", STILL_WAITING)]
    moments = iter(curve(record))
    now = following = next(moments)
    found = []
    for point in range(POINTS + 1):
        at = end * point // POINTS
        while following.at <= at:
            now = following
            try:
                following = next(moments)
            except StopIteration:
                break
        open_ = bisect_right(asked, at) - bisect_right(decided, at)
        found.append((at / SECOND, now.cores / offered, now.active, bisect_right(refused, at), open_))
    return tuple(found)


# ------------------------------------------------------------------------------------------------- differences
def differences(runs: Sequence[Run], policies: Sequence[str]) -> Iterator[Difference]:
    """Each policy against the first one, figure by figure, if there are seeds enough to say anything."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    for r in runs:
        for name, value in asdict(r.figures).items():
            if r.seed > 0 and value is not None:
                values.setdefault((r.policy, name), {})[r.seed] = float(value)
    names = list(asdict(runs[0].figures)) if runs else []
    for policy, name in itertools.product(policies[1:], names):
        first, this = values.get((policies[0], name), {}), values.get((policy, name), {})
        both = [this[seed] - first[seed] for seed in sorted(first.keys() & this.keys())]
        if len(both) >= FEWEST and any(both):
            low, high = _interval(both)
            yield Difference(policy, name, sum(both) / len(both), low, high, sign_flip(both))


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p value of the mean being 0, from the means that other signs would have given: exact for few
    differences, sampled for more.  Source: R. A. Fisher, "The Design of Experiments", 1935, section 21."""
    n, seen = len(differences), abs(sum(differences)) - 1e-12
    if n <= EXACT:
        patterns: Iterator[Sequence[int]] = itertools.product((1, -1), repeat=n)
        total = 1 << n
    else:
        draw = random.Random(n)  # noqa: S311  repeatable on purpose
        patterns = (draw.choices((1, -1), k=n) for _ in range(DRAWS))
        total = DRAWS
    extreme = sum(
        abs(sum(sign * d for sign, d in zip(pattern, differences, strict=True))) >= seen
        for pattern in patterns
    )
    return extreme / total if n <= EXACT else (extreme + 1) / (total + 1)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap of the mean.  Source: Efron and Tibshirani (see `workload.resample`), chapter 13."""
    draw = random.Random(len(values))  # noqa: S311  repeatable on purpose
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(2000))
    return means[50], means[1949]
