"""Results under names: `latest` of the last whole run, and those that were kept for later ones to be compared with.

A kept result is a file NAME.json like latest.json.  Ratios alone compare across runs: both halves of each saw the same
machine.  What `before` hands on is therefore nothing but ratios, by the name of their row.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LATEST = "latest"


@dataclass(frozen=True)
class Before:
    """An earlier result's name and its ratios; a row that it did not have is not among them."""

    name: str
    ratios: Mapping[tuple[Any, ...], float]


def write(results: Path, found: Mapping[str, Any], table: str, keep: str | None) -> None:
    """``keep``: a name, "" for that of the commit, None for not at all."""
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{LATEST}.json").write_text(json.dumps(found, indent=1) + "\n")
    (results / f"{LATEST}.md").write_text(table)
    if keep is not None:
        name = keep or str(found["machine"]["commit"]).replace(" ", "-")
        shutil.copyfile(results / f"{LATEST}.json", results / f"{name}.json")


def before(results: Path, name: str | None, now: Mapping[str, Any]) -> Before | None:
    """The result called ``name``, or the newest that was kept; of another commit than ``now`` is of."""
    if name is not None:
        return Before(name, dict(ratios(json.loads((results / f"{name}.json").read_text()))))
    found = {
        path.stem: json.loads(path.read_text()) for path in results.glob("*.json") if path.stem != LATEST
    }
    others = {n: one for n, one in found.items() if one["machine"]["commit"] != now["machine"]["commit"]}
    if not others:
        return None
    newest = max(others, key=lambda name: others[name]["machine"]["at"])
    return Before(newest, dict(ratios(others[newest])))


def ratios(found: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Row by row: (table, name, connections) → its median."""
    for row in found.get("workloads", ()):
        yield ("workloads", row["name"], row["connections"]), row["ratio"]["median"]
    for row in found.get("tails", ()):
        yield ("tails", row["name"], row["connections"]), row["euca"]["tail"]
    for row in found.get("soap", ()):
        yield ("soap", row["name"]), row["ratio"]["median"]
    for row in found.get("crowd", {}).get("rows", ()):
        yield ("crowd", row["name"]), row["ratio"]["median"]
    for row in found.get("portal", {}).get("rows", ()):
        yield ("portal", row["name"]), row["ratio"]["median"]
