"""What the tests of the documentation share: its pages, their fenced blocks, their tables."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = (
    "README.md",
    "docs/tutorial.md",
    "docs/users-guide.md",
    "docs/administrators-guide.md",
    "docs/simulate.md",
    "docs/writing-a-policy.md",
)
_FENCE = re.compile(r"^ *```([^\n`]*)\n(.*?)^ *```\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    info: str  # what follows the three backticks: "sh", "sh run", "text" …
    text: str


class Docs(ModuleType):
    """Imported by the tests as `docs_pages`."""

    root = ROOT
    guides = GUIDES

    @staticmethod
    def read(page: str) -> str:
        return (ROOT / page).read_text("utf-8")

    @staticmethod
    def pages() -> list[str]:
        """Every page that is part of the project, not of what was installed beside it."""
        hidden = (".venv", "node_modules", ".git", ".pytest_cache")
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
        return sorted(str(path) for path in found if not any(part in hidden for part in path.parts))

    @staticmethod
    def blocks(page: str) -> list[Block]:
        text = Docs.read(page)
        return [
            Block(page, text[: found.start()].count("\n") + 1, found[1].strip(), found[2])
            for found in _FENCE.finditer(text)
        ]

    @staticmethod
    def prose(page: str) -> str:
        """The page without its fenced blocks."""
        return _FENCE.sub("", Docs.read(page))

    @staticmethod
    def table(page: str, first: str) -> list[list[str]]:
        """The rows of the table whose head begins with the cell ``first``."""
        lines = iter(Docs.prose(page).splitlines())
        for line in lines:
            if line.strip().startswith(f"| {first} |"):
                next(lines)
                return list(_rows(lines))
        raise AssertionError(f"{page} has no table that begins with {first!r}")


def _rows(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.strip().startswith("|"):
            return
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


docs_pages = sys.modules.setdefault("docs_pages", Docs("docs_pages"))


@pytest.fixture(scope="session")
def cloud_process() -> Any:
    """The module that the end-to-end tests start clouds with."""
    if "cloud_process" not in sys.modules:
        path = ROOT / "tests" / "e2e" / "cloud_process.py"
        spec = importlib.util.spec_from_file_location("cloud_process", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["cloud_process"] = module
        spec.loader.exec_module(module)
    return sys.modules["cloud_process"]
