"""The in-memory core of the Query API's tests behind an endpoint, with the tables of forged requests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(name, path):
    """Under importlib mode a test folder is no package and not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


HERE = Path(__file__).resolve().parent
_load("ec2_fake_cloud", HERE.parent / "ec2" / "conftest.py")
_load("query_letters", HERE.parent / "ec2" / "query_letters.py")
scene_ = _load("query_scene", HERE / "query_scene.py")
_load("query_forgeries_v4", HERE / "query_forgeries_v4.py")
_load("query_forgeries_v2", HERE / "query_forgeries_v2.py")
_load("query_forgeries_v1", HERE / "query_forgeries_v1.py")
_load("query_forgeries", HERE / "query_forgeries.py")


@pytest.fixture
def scene():
    return scene_.Scene()


@pytest.fixture
def old_scene():
    """Where version 1 is accepted."""
    return scene_.Scene(sigv1=True)
