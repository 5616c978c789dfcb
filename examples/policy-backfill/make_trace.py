"""Draws trace.csv: jobs of one to eight cores whose users say for how long, most of them too long, and a reservation now and then.

python examples/policy-backfill/make_trace.py > examples/policy-backfill/trace.csv
"""

from __future__ import annotations

import csv
import random
import sys

from euca_rpc.clock import HOUR, MINUTE, Micros
from euca_rpc.lab.readers import rows
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size

JOBS, RESERVATIONS, DAYS = 750, 30, 10
draw = random.Random("backfill")  # noqa: S311  repeatable on purpose


def job(n: int) -> Request:
    cores = draw.choice((1, 1, 1, 2, 2, 4, 4, 8))
    ran = int(draw.lognormvariate(3.6, 1.1) * MINUTE)
    asked = (
        -(-int(ran * draw.uniform(1, 4)) // (15 * MINUTE)) * 15 * MINUTE
    )  # rounded up to quarters of an hour
    at = int(draw.uniform(0, DAYS * 24) * HOUR)
    return Request(f"j{n}", at, Size(cores, 0, 0), ran, user=f"u{n % 7}", account=f"u{n % 7}", asked=asked)


def reservation(n: int) -> Request:
    """Four machines of four cores for two hours, some hours ahead."""
    at: Micros = int(draw.uniform(0, DAYS * 24) * HOUR)
    start = draw.randrange(4, 24) * HOUR
    hints = (("start", f"+{start / 1e6:.0f}"),)
    return Request(
        f"r{n}", at, Size(4, 0, 0), 2 * HOUR, 4, user="course", account="course", asked=2 * HOUR, hints=hints
    )


requests = sorted(
    [*map(job, range(JOBS)), *map(reservation, range(RESERVATIONS))], key=lambda r: (r.at, r.key)
)
csv.writer(sys.stdout, lineterminator="\n").writerows(rows(Workload("backfill", tuple(requests))))
