"""The page about `euca simulate`: its commands run as they stand, and its table is what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

docs: Any = sys.modules["docs_pages"]
PAGE = "docs/simulate.md"


@pytest.mark.timeout(300)
def test_the_page_is_what_one_gets(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(docs.root / "examples")
    said = []
    for block in docs.blocks(PAGE):
        if block.info in ("sh run", "python run"):
            program = ["bash", "-euc"] if block.info == "sh run" else [sys.executable, "-c"]
            done = subprocess.run(
                [*program, block.text],
                cwd=tmp_path,
                env={"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)
    (shown,) = (block.text for block in docs.blocks(PAGE) if block.info == "text")
    assert _without_times(said[0]) == _without_times(shown)
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "decisions.csv").read_text().count("capacity_exhausted") == 197
    assert re.search(r"least_full − greedy, node_hours: .* \(p = 0\.0", said[1])
    assert "refused; the first: Asked for 1 × " in said[-1]


def _without_times(table: str) -> list[str]:
    return [re.sub(r"\s*(took|\d+\.\d s)\s*$", "", line) for line in table.strip().splitlines()]
