"""moto in a virtual environment of its own: `bench/.venv`, made once per requirements file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT, REQUIREMENTS = HERE / ".venv", HERE / "requirements.txt"


def prepare() -> None:
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = ENVIRONMENT / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("moto is installed into bench/.venv …", file=sys.stderr, flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    install = ["-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    subprocess.run([str(ENVIRONMENT / "bin" / "python"), *install], check=True)
    stamp.write_text(wanted)
