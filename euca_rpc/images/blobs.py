"""Blobs: files named by the SHA-256 of what is in them.

    ROOT/<first two digits>/<64 digits>     complete, verified, durable, read-only
    ROOT/incoming/<name>.part               an upload under way or interrupted

A blob appears by a rename after its bytes are on the disk and its hash was compared, so whoever sees one may trust
it, and two uploads of the same content meet in one file.  An interrupted upload is never visible as a blob; it may
be resumed under its name (`Upload`), and `sweep` removes those that nobody touched for a while.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from euca_rpc.errors import EucaError

SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20
DEFAULT_LIMIT = 100 << 30
UPLOAD_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_sha256(text: str) -> bool:
    return SHA256.fullmatch(text) is not None


class Blobs:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, sha256: str) -> Path:
        """Where the blob is; blob_not_found if there is none (or if the name is not a hash at all)."""
        if is_sha256(sha256) and (place := self._place(sha256)).is_file():
            return place
        raise EucaError("blob_not_found", f"There is no blob {sha256[:64]!r} in the image store.")

    def put(
        self, stream: BinaryIO, declared_sha256: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str, int]:
        """Store all of ``stream``; (sha256, bytes)."""
        upload = self.upload(secrets.token_hex(16))
        try:
            while chunk := stream.read(CHUNK):
                upload.write(chunk, limit)
            return upload.finish(declared_sha256)
        except BaseException:
            upload.discard()
            raise

    def upload(self, name: str) -> Upload:
        """A new or an interrupted upload; ``upload.bytes`` says where to go on."""
        if UPLOAD_NAME.fullmatch(name) is None:
            raise EucaError("parameter_invalid", "An upload's name has 1 to 64 letters, digits and hyphens.")
        return Upload(self, self.incoming / f"{name}.part")

    def offset(self, name: str) -> int:
        """How many bytes of an interrupted upload are here."""
        try:
            return (self.incoming / f"{name}.part").stat().st_size if UPLOAD_NAME.fullmatch(name) else 0
        except FileNotFoundError:
            return 0

    def delete(self, sha256: str) -> bool:
        """True if there was one."""
        if not is_sha256(sha256):
            return False
        try:
            self._place(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    def list(self) -> Iterator[tuple[str, int]]:
        """(sha256, bytes) of every blob."""
        for path in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            if is_sha256(path.name):
                yield path.name, path.stat().st_size

    def sweep(self, older_than_seconds: float) -> int:
        """Remove interrupted uploads that were last written that long ago."""
        gone = 0
        for path in self.incoming.glob("*.part"):
            if time.time() - path.stat().st_mtime > older_than_seconds:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def adopt(self, part: Path, sha256: str) -> Path:
        """Make a complete, verified and synced file of ours the blob ``sha256``."""
        place = self._place(sha256)
        place.parent.mkdir(exist_ok=True, mode=0o755)
        part.chmod(0o444)
        part.replace(place)
        sync_directory(place.parent)
        return place

    def _place(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256


class Upload:
    """Bytes on their way in.  Used by one thread at a time."""

    def __init__(self, blobs: Blobs, part: Path) -> None:
        self._blobs = blobs
        self.part = part
        self._hash = hashlib.sha256()
        self.bytes = 0
        if part.exists():  # resumed: hash what is there, it is not trusted to be what was sent
            part.chmod(0o600)
            with part.open("rb") as old:
                while chunk := old.read(CHUNK):
                    self._hash.update(chunk)
                    self.bytes += len(chunk)
        self._file = part.open("ab")
        part.chmod(0o600)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes, limit: int = DEFAULT_LIMIT) -> None:
        if self.bytes + len(chunk) > limit:
            raise EucaError(
                "image_refused",
                f"The image is larger than {limit} bytes, which is the limit here ([images] largest_gb).",
                facts={"limit": limit},
            )
        try:
            self._file.write(chunk)
        except OSError as error:
            raise disk_trouble(self.part, error) from error
        self._hash.update(chunk)
        self.bytes += len(chunk)

    def complete(self, declared_sha256: str | None = None) -> str:
        """All bytes are there: make them durable and compare the hash.  Not yet visible as a blob."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise disk_trouble(self.part, error) from error
        self._file.close()
        self.part.chmod(0o444)  # what inspects it runs as nobody
        if declared_sha256 is not None and declared_sha256 != self.sha256:
            raise EucaError(
                "image_refused",
                f"{self.bytes} bytes arrived with the SHA-256 {self.sha256}, but {declared_sha256} was declared: "
                "they were changed on the way. Upload the file again.",
                facts={"sha256": self.sha256, "declared": declared_sha256},
            )
        return self.sha256

    def finish(self, declared_sha256: str | None = None) -> tuple[str, int]:
        sha256 = self.complete(declared_sha256)
        self._blobs.adopt(self.part, sha256)
        return sha256, self.bytes

    def close(self) -> None:
        """Leave it to be resumed, if anything of it is here."""
        self._file.close()
        if not self.bytes:
            self.part.unlink(missing_ok=True)

    def discard(self) -> None:
        self._file.close()
        self.part.unlink(missing_ok=True)


def disk_trouble(path: Path, error: OSError) -> EucaError:
    return EucaError(
        "unavailable",
        f"Writing to {path.parent} failed: {error.strerror}. Free some space there, then try again.",
        private=str(error),
    )


def sync_directory(path: Path) -> None:
    """A rename is durable only when its directory is."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
