"""When nodes are told of launches: together with others, in one commit and one call each.

Who launches one machine launches more of them, and a node that is told of each by itself works against the answers that
its cloud still has to give.  So nodes are told once no launch has come for a moment, which nobody notices; while many come,
for a longer one, since those that are committed together are all from the same moment; and of launches that do not stop
coming, once the first has waited for a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from euca_rpc.clock import Micros
from euca_rpc.cloud.view import View
from euca_rpc.types import Instance

GATHER: Micros = 10_000  # without a launch; no node is told sooner
FEW = 3  # machines of which no node was told yet; while there are as many:
GATHER_MANY: Micros = 80_000
LONGEST: Micros = 250_000


def told_at(view: View, now: Micros) -> Micros:
    """When the node of a machine that is launched now is to be told of it, if no launch comes after it."""
    return now + (GATHER if len(view.untold) < FEW else GATHER_MANY)


def together(launched: Sequence[Instance]) -> Micros:
    """When their nodes are told of ``launched``, all that were not told yet; at the end of a quarter of a second without
    those that came last."""
    return min(max(i.next_try for i in launched), min(i.launched_at for i in launched) + LONGEST)
