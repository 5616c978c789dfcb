"""The node that was used least recently: each launch goes to the next one in turn.

The position survives restarts because it is kept with the nodes: `last_used` is the ordinal of the last placement on
each, in the store.  A node that was never used comes first.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Target


@policy
def score(target: Target) -> float:
    # falls with every placement, never reaches 0; neighbours differ in a float up to ordinals of 10^15
    return 1.0 / (1 + target.last_used)
