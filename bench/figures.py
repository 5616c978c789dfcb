"""What the rounds say: pure functions over lists of numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
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


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values))


@dataclass
class Side:
    """One server's rounds of one workload."""

    rates: list[float] = field(default_factory=list)  # requests per second, one a round
    latencies: list[float] = field(default_factory=list)  # seconds, of all rounds
    answer_bytes: int = 0  # of one answer

    def add(self, rate: float, latencies: Sequence[float], answer_bytes: int) -> None:
        self.rates.append(rate)
        self.latencies.extend(latencies)
        self.answer_bytes = answer_bytes

    def facts(self) -> dict[str, float]:
        seen = spread(self.rates)
        return {
            "requests": len(self.latencies),
            "rate_min": round(seen.low, 2),
            "rate_median": round(seen.middle, 2),
            "rate_max": round(seen.high, 2),
            "p50_ms": round(percentile(self.latencies, 0.50) * 1e3, 3),
            "p90_ms": round(percentile(self.latencies, 0.90) * 1e3, 3),
            "p99_ms": round(percentile(self.latencies, 0.99) * 1e3, 3),
            "answer_bytes": self.answer_bytes,
        }


def ratios(ours: Side, theirs: Side) -> Spread:
    """Round by round: the two halves of a round saw the same machine."""
    if len(ours.rates) != len(theirs.rates):
        raise ValueError("the rounds are not pairs")
    return spread([a / b for a, b in zip(ours.rates, theirs.rates, strict=True)])
