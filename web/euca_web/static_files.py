"""Style sheets, scripts and pictures: read once, named by their content, so that a browser keeps them for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    type: str
    digest: str
    body: bytes = field(repr=False)


@lru_cache(maxsize=1)
def files() -> dict[str, File]:
    """By path below `static`; nothing else can be asked for."""
    found = {}
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in TYPES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:12]
            found[path.relative_to(ROOT).as_posix()] = File(TYPES[path.suffix], digest, body)
    return found


def url(name: str) -> str:
    return f"/static/{name}?{files()[name].digest}"
