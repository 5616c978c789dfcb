"""Workloads that nobody recorded: drawn from distributions that were fitted to a recorded one, or from the defaults.

    gaps between launches   a share of them zero (machines wanted together), the others lognormal
    durations               lognormal
    sizes                   as often as they were
    users                   Zipf: the k-th asks 1/k as often as the first

The lognormal for gaps and durations follows U. Lublin and D. Feitelson, "The workload on parallel supercomputers:
modeling the characteristics of rigid jobs", J. Parallel Distrib. Comput. 63(11), 2003, in spirit; they use hyper-gamma.
Daily and weekly cycles are not modelled.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size

_SIZES = ((Size(1, 1024, 10), 60), (Size(2, 4096, 20), 25), (Size(4, 8192, 40), 10), (Size(8, 16384, 80), 5))


@dataclass(frozen=True, slots=True)
class Shape:
    """`gap` and `duration`: mean and standard deviation of the natural logarithm, of seconds."""

    together: float = 0.3  # share of launches at the same second as the one before
    gap: tuple[float, float] = (6.2, 1.4)
    duration: tuple[float, float] = (8.0, 1.4)
    sizes: tuple[tuple[Size, int], ...] = _SIZES  # size, how often
    users: int = 12  # 0: none are recorded
    undefined: frozenset[str] = field(default=frozenset({"asked", "nodes"}))


def fit(workload: Workload) -> Shape:
    """The shape of a recorded workload.  parameter_invalid: fewer than 20 launches, or none that ended."""
    at = [r.at / SECOND for r in workload.requests]
    gaps = [b - a for a, b in itertools.pairwise(at)]
    runs = [r.duration / SECOND for r in workload.requests if r.duration]
    if len(at) < 20 or not any(gaps) or not runs:
        raise EucaError(
            "parameter_invalid",
            f"{workload.name} has {len(at)} launches, {len(runs)} of them ended: too few to fit anything to (20 are needed)",
        )
    return Shape(
        together=sum(1 for gap in gaps if gap == 0) / len(gaps),
        gap=_logarithms([gap for gap in gaps if gap > 0]),
        duration=_logarithms(runs),
        sizes=tuple(sorted(Counter(r.size for r in workload.requests).items(), key=lambda s: s[0].parts())),
        users=0 if "users" in workload.undefined else len({(r.account, r.user) for r in workload.requests}),
        undefined=workload.undefined | {"asked", "nodes"},
    )


def generate(shape: Shape, launches: int, seed: int = 1) -> Workload:
    """The same shape, number and seed give the same workload.  Moments and durations are whole seconds."""
    draw = random.Random(f"synthetic/{seed}")  # noqa: S311  repeatable on purpose
    sizes, often = zip(*shape.sizes, strict=True)
    names = [f"user{n}" for n in range(1, shape.users + 1)]
    weights = [1 / n for n in range(1, shape.users + 1)]
    at, requests = 0, []
    for n in range(launches):
        if n and draw.random() >= shape.together:
            at += max(1, round(draw.lognormvariate(*shape.gap)))
        runs = max(1, round(draw.lognormvariate(*shape.duration)))
        size = draw.choices(sizes, often)[0]
        user = draw.choices(names, weights)[0] if names else ""
        requests.append(Request(f"s{n + 1}", at * SECOND, size, runs * SECOND, user=user, account=user))
    return Workload(f"synthetic-{seed}", tuple(requests), shape.undefined)


def _logarithms(values: Sequence[float]) -> tuple[float, float]:
    logarithms = [math.log(value) for value in values]
    return fmean(logarithms), pstdev(logarithms)
