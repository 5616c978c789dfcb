"""When nodes are told of launches: together with others, in one commit and one call each.

Launches of the same 20 ms are told together, which nobody notices.  While more than a few have not been told yet, those of
the same quarter of a second are: fewer, larger messages, when it is answers that are waited for.  Those that came first,
when nobody knew how many would come, wait with the others if it is many.
"""

from __future__ import annotations

from euca_rpc.clock import Micros
from euca_rpc.cloud import lifecycle
from euca_rpc.cloud.view import View
from euca_rpc.types import Instance

GATHER: Micros = 20_000
FEW = 3  # machines
MANY = 10  # launches
GATHER_MANY: Micros = 250_000


def told_at(view: View, now: Micros) -> Micros:
    """When the node of a machine that is launched now is to be told of it."""
    return _end_of(now, GATHER if len(view.untold) < FEW else GATHER_MANY)


def busy(view: View) -> bool:
    """Are so many launches untold that those who came first are better told with the others?  One of many machines is one."""
    launches: set[str] = set()
    for id in view.untold:
        launches.add(view.instances[id].reservation_id)
        if len(launches) > MANY:
            return True
    return False


def due(row: Instance, busy: bool) -> Micros:
    """When its node is to be told: as was said at its launch, or later if many came after it."""
    if not busy or not lifecycle.untold(row):
        return row.next_try
    return max(row.next_try, _end_of(row.launched_at, GATHER_MANY))


def _end_of(at: Micros, gather: Micros) -> Micros:
    return at - at % gather + gather
