"""Scenes of the portal: see `web_scene`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _beside(name: str) -> Any:
    """Under importlib mode a test folder is no package and not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


web_scene = _beside("web_scene")  # tests may `import web_scene` from here on


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(**settings: Any) -> Any:
        made.append(web_scene.Scene(tmp_path / f"scene{len(made)}", **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Shared by the tests of a module: they clear up what they change, or do not mind what is there."""
    one = web_scene.Scene(tmp_path_factory.mktemp("web") / "scene")
    yield one
    one.close()
