"""The in-memory core of the Query API's tests, with certificates, behind an endpoint that a message is handed to."""

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
fake = _load("ec2_fake_cloud", HERE.parent / "ec2" / "conftest.py")
letters = _load("soap_letters", HERE / "soap_letters.py")
scene_ = _load("soap_scene", HERE / "soap_scene.py")
PARTS = ("places", "signed", "keys", "texts", "times")
for name in (
    "soap_forging",
    *(f"soap_forgeries_{part}" for part in PARTS),
    "soap_forgeries",
    "soap_weaknesses",
):
    _load(name, HERE / f"{name}.py")


@pytest.fixture
def scenes(tmp_path):
    """``scenes(genuine)`` → a fresh endpoint, its clock at the message's time."""
    made = []

    def make(genuine):
        scene = scene_.Scene(genuine, tmp_path / f"state{len(made)}")
        made.append(scene)
        return scene

    yield make
    for scene in made:
        scene.endpoint.close()
