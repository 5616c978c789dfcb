"""Keeps the file that a daemon's standard error goes to below a size: NAME.log, NAME.log.1, NAME.log.2 …

The daemon does it itself, by moving the file away and putting a new one under its own descriptors: whatever writes to
standard error, Python's logging, a library in C or a dying interpreter, lands in the new file, and nothing is lost in
between.  Only files within the cloud's home are touched: where somebody else says where the log goes (a terminal, the
journal, a redirection), somebody else looks after it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import Final

STDOUT: Final = 1
STDERR: Final = 2


class Rotation:
    def __init__(self, limit_bytes: int, files: int, within: Path) -> None:
        self._limit, self._files, self._within = limit_bytes, files, within.resolve()

    def look(self) -> bool:
        """True if a new file was begun.  One thread at a time."""
        status = os.fstat(STDERR)
        if status.st_size < self._limit or not stat.S_ISREG(status.st_mode):
            return False
        path = Path(os.readlink(f"/proc/self/fd/{STDERR}"))
        if not path.is_relative_to(self._within) or not path.exists():  # removed: " (deleted)" is in its name
            return False
        for older in range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(path, older - 1).replace(self._numbered(path, older))
        if self._files == 1:
            path.unlink()
        fresh = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        sys.stderr.flush()
        same = os.path.samestat(os.fstat(STDOUT), status)
        os.dup2(fresh, STDERR)
        if same:
            os.dup2(fresh, STDOUT)
        os.close(fresh)
        return True

    @staticmethod
    def _numbered(path: Path, number: int) -> Path:
        return path.with_name(f"{path.name}.{number}") if number else path
