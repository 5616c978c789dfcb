"""The first node that fits, in order of node id: the original's GREEDY.

Fills one node before it touches the next, which leaves whole nodes free for large machines.  Every node is as good
as every other, so the core's rule for ties decides: the lower id.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy


@policy
def score() -> float:
    return 1.0
