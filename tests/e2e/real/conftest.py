"""One cloud of two zones with one real host each, shared by all tests of this folder.

Most of a test's time is guests booting, so what can share a guest does.  ``pair`` are two machines, one in each zone,
that stay for the whole run: whatever a test does to daemons and hosts, they have to be the same afterwards.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)
            item.add_marker(pytest.mark.timeout(300))
            if missing():
                item.add_marker(pytest.mark.skip(reason=missing()))


def missing() -> str:
    if os.geteuid() != 0:
        return "hosts of their own need root"
    where = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    needs = [name for name in ("qemu-system-x86_64", "libvirtd", "ssh") if not shutil.which(name, path=where)]
    return f"needs {', '.join(needs)}" if needs else ""


def _beside(name: str, file: str = "") -> Any:
    """Under importlib mode a test folder is no package and not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / (file or f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


real_cloud = _beside("real_cloud")
_beside("real_clients", "clients/__init__.py")


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """When a test failed, all logs are kept in pytest's own directory."""
    cloud = real_cloud.RealCloud()
    try:
        cloud.prepare()
        yield cloud
    finally:
        if request.session.testsfailed:
            cloud.keep_logs(tmp_path_factory.mktemp("real"))
        cloud.end()


@pytest.fixture(scope="session")
def _pair(real: Any) -> list[Any]:
    guests = [guest for zone in real.zones for guest in real.boot(zone=zone)]
    for guest in guests:
        guest.up()
        guest.write(f"of {guest.id}")
    return guests


@pytest.fixture
def pair(real: Any, _pair: list[Any]) -> list[Any]:
    real_cloud.eventually("all of its own daemons answer", real.ready, 60.0)
    real.until("running", [guest.id for guest in _pair], 60.0)
    return _pair
