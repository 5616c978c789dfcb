"""Whole clouds with settings of their own: `CloudProcess` of the end-to-end tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if "cloud_process" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "cloud_process", Path(__file__).parents[1] / "e2e" / "cloud_process.py"
    )
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["cloud_process"] = _module
    _spec.loader.exec_module(_module)


@pytest.fixture
def new_cloud(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``new_cloud(settings=…, zones=1, nodes=1)``: made, not started; ended with the test."""
    made: list[Any] = []

    def make(**shape: Any) -> Any:
        made.append(sys.modules["cloud_process"].CloudProcess(tmp_path / f"home{len(made)}", **shape))
        return made[-1]

    yield make
    for cloud in made:
        cloud.stop()
