"""`make bench`: every figure that the README quotes, from one command.

    prepare moto ─► against moto ─► among a crowd ─► beside the portal ─► launch overhead ─► placement ─► table, beside what was kept before

What is measured is the whole product as shipped: signatures verified, policies asked, every launch durable and its
event written before the answer, daemons talking mutual TLS.  A whole run is written to results/latest.json and .md;
`--keep` also keeps it under a name, and the next table shows its ratios beside the new ones.

    make bench
    make bench ARGS="--only soap --only tail --rounds 3"     these rows alone; nothing is written
    make bench ARGS="--keep"                                 kept as results/COMMIT.json
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from . import kept, machine, report
from .against_moto import PARTS as MOTO_PARTS
from .against_moto import against_moto
from .beside_portal import beside_portal
from .crowded import crowded
from .overhead import launch_overhead
from .placement import placement
from .prepare import HERE, prepare
from .rounds import scratch
from .servers import ROOT, interrupt_ends

RESULTS = HERE / "results"
PARTS = (*MOTO_PARTS, "crowd", "portal", "overhead", "placement")
ROUNDS = 7


def main() -> None:
    options = parser().parse_args()
    parts = set(options.only or PARTS)
    interrupt_ends()
    prepare()
    began = time.monotonic()
    found: dict[str, Any] = {"machine": machine.facts(ROOT)}
    with tempfile.TemporaryDirectory(prefix="eb-", dir=scratch()) as directory:
        home = Path(directory)
        found["fdatasync"] = machine.fdatasync(home)
        if parts & set(MOTO_PARTS):
            found |= against_moto(home, parts, options.rounds)
        if "crowd" in parts:
            found["crowd"] = crowded(home, options.machines, min(options.rounds, 5))
        if "portal" in parts:
            found["portal"] = beside_portal(home, options.rounds)
        if "overhead" in parts:
            found["overhead"] = launch_overhead(home, options.rounds)
    if "placement" in parts:
        found["placement"] = placement()
    found["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    found["seconds"] = round(time.monotonic() - began, 1)
    table = report.markdown(found, kept.before(options.results, options.against, found))
    if not options.only:
        kept.write(options.results, found, table, options.keep)
    print(table)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--only", action="append", choices=PARTS, help="these rows alone; writes nothing")
    made.add_argument("--rounds", type=int, default=ROUNDS, help="fewer, to try the bench itself")
    made.add_argument("--machines", type=int, default=100_000, help="of other people in the store")
    made.add_argument("--keep", nargs="?", const="", metavar="NAME", help="keep the result, as its commit")
    made.add_argument("--against", metavar="NAME", help="what to compare with, not the newest that was kept")
    made.add_argument("--results", type=Path, default=RESULTS)
    return made


main()
