"""Draws spot.csv: what regular users want of a small site, and what others would take that is left.

python examples/traces/make_spot.py > examples/traces/spot.csv
"""

from __future__ import annotations

import csv
import random
import sys
from dataclasses import replace

from euca_rpc.lab.readers import rows
from euca_rpc.lab.synthetic import Shape, generate

REGULAR = Shape(gap=(6.9, 1.2), duration=(8.7, 1.2))  # a launch every twenty minutes, for hours
SPOT = Shape(gap=(6.6, 1.2), duration=(9.2, 1.0), together=0.5)  # more of them, in bunches, for longer

draw = random.Random("spot")  # noqa: S311  repeatable on purpose
regular = [replace(r, key=f"r{r.key}") for r in generate(REGULAR, 700, 7).requests]
spot = [
    replace(
        r,
        key=f"b{r.key}",
        hints=(("bid", f"{draw.lognormvariate(-1.6, 0.6):.3f}"), ("wait", "14400")),
        service_class="best_effort",
    )
    for r in generate(SPOT, 1300, 8).requests
]
end = max(r.at for r in regular)
both = sorted((r for r in (*regular, *spot) if r.at <= end), key=lambda r: (r.at, r.key))
workload = replace(generate(REGULAR, 20), requests=tuple(both))
csv.writer(sys.stdout, lineterminator="\n").writerows(rows(workload))
