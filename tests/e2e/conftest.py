"""One cloud of two zones with three simulated nodes each, shared by the tests that leave it as they found it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _beside(name: str, folder: str = "e2e") -> Any:
    """Under importlib mode a test folder is no package and not on the path."""
    if name not in sys.modules:
        path = Path(__file__).parents[1] / folder / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


cloud_process = _beside("cloud_process")  # tests may `import cloud_process` from here on
_beside("form_browser")
_beside("soap_letters", "protocol/soap")
wardrobe_ = _beside("wardrobe")
CloudProcess = cloud_process.CloudProcess


@pytest.fixture(scope="session")
def make_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """``make_cloud(zones=2, nodes=3, hypervisor="simulated")`` → a started CloudProcess, ended with the session."""
    made: list[Any] = []

    def make(**shape: Any) -> Any:
        cloud = CloudProcess(tmp_path_factory.mktemp("cloud") / "home", **shape)
        made.append(cloud)
        cloud.start()
        return cloud

    yield make
    troubles = []
    for cloud in made:
        try:
            cloud.stop()
        except AssertionError as error:
            troubles.append(str(error))
    assert not troubles, troubles


@pytest.fixture(scope="session")
def _shared(make_cloud: Callable[..., Any]) -> dict[str, Any]:
    return {"make": make_cloud}


@pytest.fixture
def cloud(_shared: dict[str, Any]) -> Iterator[Any]:
    """Nothing runs on it when a test begins, and each of its daemons is alive; a test that broke it costs the next
    one a new cloud, not its result."""
    there = _shared.get("cloud")
    if there is not None and not _sound(there):
        there.stop()
        there = None
    if there is None:
        there = _shared["cloud"] = _shared["make"]()
        there.add_image()
    yield there
    there.go_on()


def _sound(cloud: Any) -> bool:
    try:
        cloud_process.eventually("all up", cloud.all_up, 15.0)
        cloud_process.eventually("nothing runs", lambda: cloud.clear(10.0) is None, 15.0)
    except Exception as error:
        print(f"the cloud was not left as it was found, a new one is made: {error}")
        return False
    return True


@pytest.fixture
def wardrobe(cloud: Any, tmp_path: Path) -> Any:
    """Certificates of the shared cloud's authority, and of a foreign one, for anybody."""
    return wardrobe_.Wardrobe(cloud, tmp_path)
