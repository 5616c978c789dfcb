from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from euca_rpc.clock import MINUTE, SECOND, ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.images import cache as cache_module
from euca_rpc.images.cache import ImageCache
from euca_rpc.machines import BlobRef

KIB = 1024


class Source:
    """Where images come from here: writes what the reference's number says, and counts."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail = 0

    def __call__(self, ref: BlobRef, to: Path) -> None:
        self.calls.append(ref.image_id)
        assert self.gate.wait(5)
        if self.fail:
            self.fail -= 1
            to.with_name(to.name + ".part").write_bytes(b"half")
            raise EucaError("unreachable", "the image server does not answer")
        to.with_name(to.name + ".part").unlink(missing_ok=True)
        to.write_bytes(content(ref.image_id))


def content(name: str) -> bytes:
    return name.encode().ljust(100 * KIB, b".")


def ref(name: str) -> BlobRef:
    data = content(name)
    return BlobRef(name, hashlib.sha256(data).hexdigest(), len(data), len(data), "raw", "https://127.0.0.1/x")


@pytest.fixture
def source() -> Source:
    return Source()


def test_one_download_serves_all_launches_that_wait(source: Source, tmp_path: Path) -> None:
    cache = ImageCache(tmp_path, source, 1 << 20, ManualClock())
    source.gate.clear()
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(cache.fetch, ref("a")) for _ in range(8)]
        other = pool.submit(cache.fetch, ref("b"))  # another image does not wait for this one
        until = time.monotonic() + 5
        while len(source.calls) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        source.gate.set()
        paths = {future.result(5) for future in waiting}
        assert other.result(5) not in paths
    assert sorted(source.calls) == ["a", "b"]
    (path,) = paths
    assert path.read_bytes() == content("a")
    assert path.stat().st_mode & 0o777 == 0o444
    assert cache.contents() == {ref("a").sha256: 100 * KIB, ref("b").sha256: 100 * KIB}


def test_the_least_recently_used_goes_but_never_what_is_in_use(source: Source, tmp_path: Path) -> None:
    clock, used = ManualClock(), {ref("a").sha256}
    cache = ImageCache(tmp_path, source, 350 * KIB, clock, lambda: used)
    for name in ("a", "b", "c", "b"):  # c is older than b, a is oldest but in use
        clock.advance(SECOND)
        cache.fetch(ref(name))
    with pytest.raises(EucaError, match="51200 bytes short"):  # they were only just handed out
        cache.fetch(ref("d"))
    clock.advance(MINUTE)
    cache.fetch(ref("d"))
    assert set(cache.contents()) == {ref(name).sha256 for name in "abd"}
    cache.pin(ref("b").sha256)
    with cache.holding(ref("d")):
        clock.advance(SECOND)
        with pytest.raises(
            EucaError, match=r"may hold 358400, and beside what is in use there it is 51200 bytes short"
        ):
            cache.fetch(ref("e"))
    assert set(cache.contents()) >= {ref(name).sha256 for name in "abd"}
    cache.unpin(ref("b").sha256)
    os.link(tmp_path / ref("d").sha256, tmp_path.parent / f"{tmp_path.name}-base")  # an overlay's
    cache.fetch(ref("e"))
    assert set(cache.contents()) == {ref(name).sha256 for name in "ade"}
    assert sum(cache.contents().values()) <= 350 * KIB


def test_two_downloads_cannot_take_the_same_room(source: Source, tmp_path: Path) -> None:
    cache = ImageCache(tmp_path, source, 150 * KIB, ManualClock())
    source.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.fetch, ref("a"))
        while not source.calls:
            time.sleep(0.01)
        with pytest.raises(EucaError, match=r"Raise \[node\] image_cache_gb"):
            cache.fetch(ref("b"))
        source.gate.set()
        assert first.result(5).exists()


def test_an_image_above_the_limit_and_a_full_disk_are_refused(
    source: Source, tmp_path: Path, monkeypatch
) -> None:
    with pytest.raises(EucaError, match="it is 101400 bytes short"):
        ImageCache(tmp_path / "a", source, 1000, ManualClock()).fetch(ref("a"))
    cache = ImageCache(tmp_path / "b", source, 1 << 20, ManualClock())
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(cache_module, "SPARE", free + (1 << 30))
    with pytest.raises(EucaError, match="Free some space there") as refusal:
        cache.fetch(ref("a"))
    assert refusal.value.symbol == "unavailable"
    assert source.calls == []


def test_a_failed_download_may_be_tried_again_and_a_cut_file_is_fetched_anew(
    source: Source, tmp_path: Path
) -> None:
    cache = ImageCache(tmp_path, source, 1 << 20, ManualClock())
    source.fail = 1
    with pytest.raises(EucaError, match="does not answer"):
        cache.fetch(ref("a"))
    assert cache.contents() == {}
    path = cache.fetch(ref("a"))
    path.unlink()
    path.write_bytes(b"cut")
    assert ImageCache(tmp_path, source, 1 << 20, ManualClock()).fetch(ref("a")).read_bytes() == content("a")
    assert source.calls == ["a", "a", "a"]


def test_a_name_that_is_no_hash_is_refused(source: Source, tmp_path: Path) -> None:
    bad = BlobRef("x", "../../etc/passwd", 1, 1, "raw", "")
    with pytest.raises(EucaError, match="is no SHA-256"):
        ImageCache(tmp_path, source, 1 << 20, ManualClock()).fetch(bad)
