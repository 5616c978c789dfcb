"""Best fit: the node on which the least is left over, judged by what is scarcest there; whole nodes stay free.

Fewer nodes are in use than with any other order, which is what saves power once idle nodes sleep.  Source: D. S. Johnson
et al., "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", SIAM J. Comput. 3(4), 1974.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import LaunchClass, Target


@policy
def score(cls: LaunchClass, target: Target) -> float:
    left = target.room - cls.size
    shares = [
        rest / offer
        for rest, offer, asked in zip(left.parts(), target.offer.parts(), cls.size.parts(), strict=True)
        if offer > 0 and asked > 0
    ]
    return 1.0 - min(1.0, max(0.0, min(shares, default=0.0)))
