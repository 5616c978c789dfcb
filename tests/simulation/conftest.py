from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def memory():
    """A directory that is not on a disk: a simulated world commits thousands of times."""
    shm = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="euca-world-", dir=shm if shm.is_dir() else None))
    logging.disable(logging.CRITICAL)  # faults are the point; a world logs as much as a real site in a year
    yield root
    logging.disable(logging.NOTSET)
    shutil.rmtree(root, ignore_errors=True)
