"""Every setting does something, and every setting that a sentence names is one that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import euca_rpc
from euca_rpc import config
from euca_rpc.clock import SECOND
from euca_rpc.config import Config, load
from euca_rpc.daemons import cluster, images
from euca_rpc.errors import EucaError
from euca_rpc.images.inspection import inspect

ROOT = Path(euca_rpc.__file__).parent
KEYS = {key for key, _, _ in Config(Path("/")).values()}
NAMED = re.compile(rf"\[({'|'.join(config.SECTIONS)})\] ([a-z_]+)")
DOTTED = re.compile(rf"\b({'|'.join(config.SECTIONS)})\.([a-z]+_[a-z_]+)")  # node.image_cache_bytes, once


def sentences(path: Path) -> Iterator[str]:
    """Every text with a space in it, an f-string as a whole; documentation is none."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for said in node.args:
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                text = "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts)
                if " " in text:
                    yield text


def test_every_setting_that_a_sentence_names_exists() -> None:
    named = {
        f"{section}.{name}": path.name
        for path in ROOT.rglob("*.py")
        for text in sentences(path)
        for pattern in (NAMED, DOTTED)
        for section, name in pattern.findall(text)
    }
    assert {"images.largest_disk_gb", "images.largest_gb", "node.image_cache_gb"} <= set(named)
    assert not {key: where for key, where in named.items() if key not in KEYS}


@pytest.mark.parametrize("key", sorted(KEYS - {"home"}))
def test_every_setting_is_read_by_somebody(key: str) -> None:
    section, name = key.split(".")
    uses = re.compile(rf"\b{section}\.{name}\b|\bsaid\.{name}\b")
    readers = [
        path for path in ROOT.rglob("*.py") if path.name != "config.py" and uses.search(path.read_text())
    ]
    inside = re.search(rf"self\.{section}\.{name}\b", (ROOT / "config.py").read_text())
    assert readers or inside or name in (ROOT / "daemons" / "node.py").read_text(), f"{key} is without effect"


def test_what_the_image_server_takes_is_what_the_settings_say(tmp_path: Path) -> None:
    flags = {"images.largest_gb": 3, "images.largest_disk_gb": 7, "images.largest_kernel_mb": 2}
    limits = images.limits(load(tmp_path, flags, {}))
    assert (limits.bytes, limits.virtual_bytes, limits.kernel_bytes) == (3 << 30, 7 << 30, 2 << 20)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(bytes(3 << 20))
    with pytest.raises(EucaError, match=r"a kernel image may have 2097152.*\[images\] largest_kernel_mb"):
        inspect(kernel, "raw", "kernel", "x86_64", limits)
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(EucaError, match=r"a machine image may have 3221225472.*\[images\] largest_gb"):
        inspect(disk, "raw", "machine", "x86_64", limits)


def test_how_often_a_zone_asks_its_nodes_is_what_the_settings_say(tmp_path: Path) -> None:
    flags = {"cluster.poll_seconds": 0.5, "cluster.silence_seconds": 60.0, "cluster.backoff_seconds": 9.0}
    said = cluster.settings(load(tmp_path, flags, {}))
    assert (said.poll, said.silence, said.backoff) == (SECOND // 2, 60 * SECOND, 9 * SECOND)


@pytest.mark.parametrize("key", config.LEAST)
def test_a_setting_that_would_break_a_daemon_is_refused_by_name(tmp_path: Path, key: str) -> None:
    nothing = 0.0 if isinstance(config.LEAST[key], float) else 0
    with pytest.raises(EucaError, match=f"{key} must be at least"):
        load(tmp_path, {key: nothing}, {})
