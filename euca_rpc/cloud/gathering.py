"""When nodes are told of launches: together with others, in one commit and one call each.

Who launches one machine launches more of them, and a node that is told of each by itself works against the answers that
its cloud still has to give.  So nodes are told once no launch has come for a moment, which nobody notices; of launches that
do not stop coming, once the first has waited for a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from euca_rpc.clock import Micros

GATHER: Micros = 10_000  # without a launch; no machine's node is told sooner after its own
LONGEST: Micros = 250_000


def together(launched: Sequence[Micros]) -> Micros:
    """``launched``: when each machine was launched of which its node was not told yet; the answer: when they are."""
    return min(max(launched) + GATHER, min(launched) + LONGEST)
