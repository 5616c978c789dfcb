from __future__ import annotations

import hashlib
import io
import os
import random
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.images.blobs import Blobs

DATA = random.Random(3).randbytes(3 << 20)  # the same in every process that runs the tests
SHA256 = hashlib.sha256(DATA).hexdigest()


class Broken(io.BytesIO):
    """A stream whose sender goes away in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 2 << 20:
            raise ConnectionResetError("gone")
        return super().read(size)


def everything(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_content_is_found_under_its_hash_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert blobs.put(io.BytesIO(DATA)) == (SHA256, len(DATA))
    assert blobs.put(io.BytesIO(DATA), SHA256) == (SHA256, len(DATA))
    assert everything(tmp_path) == [SHA256]
    assert blobs.path(SHA256).read_bytes() == DATA
    assert blobs.path(SHA256).stat().st_mode & 0o777 == 0o444
    assert list(Blobs(tmp_path).list()) == [(SHA256, len(DATA))]
    assert blobs.delete(SHA256)
    assert not blobs.delete(SHA256)
    with pytest.raises(EucaError, match="There is no blob"):
        blobs.path(SHA256)


@pytest.mark.parametrize(
    ("stream", "declared", "limit"),
    [
        (Broken(DATA), None, 1 << 30),
        (io.BytesIO(DATA), "0" * 64, 1 << 30),
        (io.BytesIO(DATA), None, len(DATA) - 1),
    ],
    ids=["broken", "hash", "limit"],
)
def test_what_failed_leaves_nothing(
    stream: io.BytesIO, declared: str | None, limit: int, tmp_path: Path
) -> None:
    with pytest.raises((EucaError, ConnectionResetError)):
        Blobs(tmp_path).put(stream, declared, limit)
    assert everything(tmp_path) == []


def test_an_interrupted_upload_is_invisible_and_goes_on(tmp_path: Path) -> None:
    upload = Blobs(tmp_path).upload("mine")
    upload.write(DATA[:1000])
    upload.close()
    blobs = Blobs(tmp_path)  # another process
    assert list(blobs.list()) == []
    assert blobs.offset("mine") == 1000
    again = blobs.upload("mine")
    assert again.bytes == 1000
    again.write(DATA[1000:])
    assert again.finish(SHA256) == (SHA256, len(DATA))
    assert everything(tmp_path) == [SHA256]


def test_old_interrupted_uploads_are_swept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    for name in ("old", "new"):
        upload = blobs.upload(name)
        upload.write(b"x")
        upload.close()
    os.utime(blobs.incoming / "old.part", (0, 0))
    assert blobs.sweep(older_than_seconds=3600) == 1
    assert everything(tmp_path) == ["new.part"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "incoming/x", "", "..", "A" * 64, "é" * 64, SHA256 + "\n"]
)
def test_only_a_hash_names_a_blob(name: str, tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    with pytest.raises(EucaError, match="There is no blob"):
        blobs.path(name)
    assert not blobs.delete(name)


@pytest.mark.parametrize("name", ["../x", "", "a/b", "x" * 65, "x\n"])
def test_an_uploads_name_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="letters, digits and hyphens"):
        Blobs(tmp_path).upload(name)
