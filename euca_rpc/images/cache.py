"""A node's images: kept by content, fetched once however many launches wait, bounded, never one that is in use.

    DIRECTORY/SHA256         complete and verified when it was fetched; read-only; its mtime is when it was last used
    DIRECTORY/SHA256.part    a download under way or interrupted: the next `fetch` of it goes on where it ended

In use is what `keep` names, what has a hard link elsewhere (the bases of overlays: evicting them would free nothing),
what is held, and for half a minute what `fetch` handed out, since its caller has not linked it yet.  When the limit is reached the least recently used go; when all that is there is in use, or the disk is full, the fetch is
refused with the sentence that says so.  Threads: the callers' own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from euca_rpc.clock import SECOND, Clock, Micros
from euca_rpc.errors import EucaError
from euca_rpc.images.blobs import is_sha256
from euca_rpc.machines import BlobRef

GRACE = 30 * SECOND
SPARE = 64 << 20  # bytes of the file system that images never take

Download = Callable[[BlobRef, Path], None]  # `client.download` with a context: resumes, verifies, renames


class ImageCache:
    def __init__(
        self,
        directory: Path,
        download: Download,
        limit_bytes: int,
        clock: Clock,
        keep: Callable[[], set[str]] = set,
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._download = download
        self._limit = limit_bytes
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._held: Counter[str] = Counter()
        self._handed: dict[str, Micros] = {}
        self._coming: dict[str, int] = {}  # bytes of downloads under way

    def fetch(self, ref: BlobRef) -> Path:
        """The verified file.  Link it or use it up within half a minute, or use it inside `holding`."""
        with self.holding(ref) as path:
            with self._lock:
                self._handed[ref.sha256] = self._clock.monotonic()
            return path

    @contextlib.contextmanager
    def holding(self, ref: BlobRef) -> Iterator[Path]:
        """The verified file, which stays while the block runs."""
        if not is_sha256(ref.sha256):
            raise EucaError("parameter_invalid", f"{ref.sha256[:64]!r} is no SHA-256 in hexadecimal digits.")
        with self._lock:
            self._held[ref.sha256] += 1
            turn = self._turns.setdefault(ref.sha256, threading.Lock())
        try:
            with turn:  # whoever comes second finds the file there
                path = self._ensure(ref)
            yield path
        finally:
            with self._lock:
                self._held[ref.sha256] -= 1
                if not self._held[ref.sha256]:
                    del self._held[ref.sha256]
                    self._turns.pop(ref.sha256, None)

    def pin(self, sha256: str) -> None:
        """In use until `unpin`, as often; for as long as this process lives."""
        with self._lock:
            self._held[sha256] += 1

    def unpin(self, sha256: str) -> None:
        with self._lock:
            self._held[sha256] -= 1
            if self._held[sha256] <= 0:
                del self._held[sha256]

    def contents(self) -> dict[str, int]:
        """sha256 → bytes of what is complete."""
        return {path.name: size for path, size, _, _ in self._files() if is_sha256(path.name)}

    # ------------------------------------------------------------------------------------------------ details
    def _ensure(self, ref: BlobRef) -> Path:
        path = self.directory / ref.sha256
        if path.exists() and path.stat().st_size != ref.bytes:  # cannot be what was verified
            path.unlink()
        if not path.exists():
            self._make_room(ref)
            try:
                self._download(ref, path)
            finally:
                with self._lock:
                    self._coming.pop(ref.sha256, None)
            path.chmod(0o444)
        used = self._clock.wall() * 1000
        os.utime(path, ns=(used, used))
        return path

    def _make_room(self, ref: BlobRef) -> None:
        """Evict until ``ref`` fits, and book its bytes; both under the lock, so that two cannot take the same room."""
        with self._lock:
            files = self._files()
            partial = {
                path.name.removesuffix(".part"): size for path, size, _, _ in files if path.suffix == ".part"
            }
            # A download under way counts with all its bytes, however many of them are here by now.
            taken = sum(
                size for path, size, _, _ in files if path.name.removesuffix(".part") not in self._coming
            )
            taken += sum(self._coming.values())
            missing = ref.bytes - partial.get(ref.sha256, 0)
            excess = taken + missing - self._limit
            booked = sum(size - partial.get(sha256, 0) for sha256, size in self._coming.items())
            short = missing + booked + SPARE - self._free()
            since = self._clock.monotonic() - GRACE
            self._handed = {sha256: at for sha256, at in self._handed.items() if at > since}
            in_use = self._keep() | set(self._held) | set(self._handed)
            for path, size, _, links in sorted(files, key=lambda file: file[2]):
                if excess <= 0 and short <= 0:
                    break
                if links == 1 and path.name.removesuffix(".part") not in in_use:
                    path.unlink(missing_ok=True)
                    excess -= size
                    short -= size
            if excess > 0:
                raise EucaError(
                    "unavailable",
                    f"Image {ref.image_id} has {ref.bytes} bytes; the image cache of this node may hold {self._limit}, "
                    f"and beside what is in use there it is {excess} bytes short. Raise [node] image_cache_gb, or "
                    "terminate instances here.",
                    facts={"image_id": ref.image_id, "bytes": ref.bytes, "limit": self._limit},
                )
            if short > 0:
                raise EucaError(
                    "unavailable",
                    f"Image {ref.image_id} needs {missing} bytes and the disk of {self.directory} lacks {short} of them. "
                    "Free some space there.",
                    facts={"image_id": ref.image_id, "bytes": ref.bytes, "short": short},
                )
            self._coming[ref.sha256] = ref.bytes

    def _files(self) -> list[tuple[Path, int, int, int]]:
        """(path, bytes, last used, hard links) of all that is there."""
        found = []
        for path in self.directory.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime_ns, status.st_nlink))
        return found

    def _free(self) -> int:
        status = os.statvfs(self.directory)
        return status.f_bavail * status.f_frsize
