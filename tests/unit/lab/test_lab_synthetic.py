"""Drawn workloads: repeatable, and a fit finds again what they were drawn from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.lab.synthetic import Shape, fit, generate
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size


def test_the_same_seed_draws_the_same() -> None:
    assert generate(Shape(), 100, 7) == generate(Shape(), 100, 7)
    assert generate(Shape(), 100, 7).requests != generate(Shape(), 100, 8).requests


def test_a_fit_finds_the_shape_again() -> None:
    shape = Shape(0.2, (5.0, 1.0), (7.0, 1.5), ((Size(1, 0, 0), 3), (Size(4, 0, 0), 1)), 5)
    found = fit(generate(shape, 20_000))
    assert found.together == pytest.approx(shape.together, abs=0.02)
    assert found.gap == pytest.approx(shape.gap, abs=0.05)
    assert found.duration == pytest.approx(shape.duration, abs=0.05)
    assert found.sizes[0][1] / found.sizes[1][1] == pytest.approx(3, rel=0.1)
    assert found.users == 5
    assert fit(replace(generate(shape, 100), undefined=frozenset({"users"}))).users == 0


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(EucaError, match="w has 1 launches, 0 of them ended: too few"):
        fit(Workload("w", (Request("a", 0, Size(1, 0, 0)),)))
