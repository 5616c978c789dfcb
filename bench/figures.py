"""What the rounds say: pure functions over lists of numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def percentile(values: Sequence[float], part: float) -> float:
    """Nearest rank: a value that was really seen."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[min(len(ordered) - 1, max(0, -(-int(part * len(ordered) * 1000) // 1000) - 1))]


@dataclass(frozen=True)
class Spread:
    low: float
    middle: float
    high: float

    def facts(self, scale: float = 1.0, digits: int = 2) -> dict[str, float]:
        named = {"min": self.low, "median": self.middle, "max": self.high}
        return {name: round(value * scale, digits) for name, value in named.items()}


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values))


@dataclass
class Side:
    """One server's rounds of one workload."""

    rates: list[float] = field(default_factory=list)  # requests per second, one a round
    latencies: list[float] = field(default_factory=list)  # seconds, of all rounds
    medians: list[float] = field(default_factory=list)  # of each round's latencies
    answer_bytes: int = 0  # of one answer

    def add(self, rate: float, latencies: Sequence[float], answer_bytes: int) -> None:
        self.rates.append(rate)
        self.latencies.extend(latencies)
        if latencies:
            self.medians.append(statistics.median(latencies))
        self.answer_bytes = answer_bytes

    def facts(self) -> dict[str, float]:
        seen = spread(self.rates)
        p50, p99 = percentile(self.latencies, 0.50), percentile(self.latencies, 0.99)
        return {
            "requests": len(self.latencies),
            "rate_min": round(seen.low, 2),
            "rate_median": round(seen.middle, 2),
            "rate_max": round(seen.high, 2),
            "p50_ms": round(p50 * 1e3, 3),
            "p90_ms": round(percentile(self.latencies, 0.90) * 1e3, 3),
            "p99_ms": round(p99 * 1e3, 3),
            "tail": round(p99 / p50, 2),
            "answer_bytes": self.answer_bytes,
        }


def ratios(ours: Side, theirs: Side) -> Spread:
    """Of the rates, round by round: the two halves of a round saw the same machine."""
    return spread([a / b for a, b in _pairs(ours.rates, theirs.rates)])


def slower(one: Side, other: Side) -> Spread:
    """How many times as long a request takes at ``one`` as at ``other``, by each round's median."""
    return spread([a / b for a, b in _pairs(one.medians, other.medians)])


def more(one: Side, other: Side) -> Spread:
    """By how many seconds a request takes longer at ``one`` than at ``other``, by each round's median."""
    return spread([a - b for a, b in _pairs(one.medians, other.medians)])


def _pairs(ours: Sequence[float], theirs: Sequence[float]) -> Iterable[tuple[float, float]]:
    if len(ours) != len(theirs):
        raise ValueError("the rounds are not pairs")
    return zip(ours, theirs, strict=True)
