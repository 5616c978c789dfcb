"""A caller's requests: a burst at once, a rate in the long run, and when to try again."""

from __future__ import annotations

import threading

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.limits import Limits


def test_a_caller_has_a_burst_and_a_rate_of_its_own() -> None:
    limits = Limits(10.0, 3)
    for _ in range(3):
        limits.take("ann", 0)
    with pytest.raises(EucaError) as caught:
        limits.take("ann", 0)
    assert caught.value.symbol == "throttled"
    limits.take("bob", 0)
    limits.take("ann", SECOND // 10)
    with pytest.raises(EucaError):
        limits.take("ann", SECOND // 10)
    for _ in range(3):  # never more than the burst, however long one waited
        limits.take("ann", 100 * SECOND)
    with pytest.raises(EucaError):
        limits.take("ann", 100 * SECOND)


@pytest.mark.parametrize(("rate", "seconds"), [(10.0, 1), (0.25, 4)])
def test_a_refusal_says_when_the_next_one_will_be_taken(rate: float, seconds: int) -> None:
    limits = Limits(rate, 1)
    limits.take("ann", 0)
    with pytest.raises(EucaError) as caught:
        limits.take("ann", 0)
    assert caught.value.facts == {"retry_after": seconds}
    limits.take("ann", seconds * SECOND)


def test_a_rate_of_nothing_is_no_limit() -> None:
    limits = Limits(0, 1)
    for _ in range(100):
        limits.take("ann", 0)


def test_many_threads_get_no_more_than_the_burst() -> None:
    limits, taken = Limits(0.001, 500), []

    def ask() -> None:
        for _ in range(100):
            try:
                limits.take("ann", 0)
            except EucaError:
                continue
            taken.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    assert len(taken) == 500
