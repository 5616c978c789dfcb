"""Best fit: the node on which the least is left over, judged by what is scarcest there; whole nodes stay free.

Fewer nodes are in use than with any other order, which is what saves power once idle nodes sleep.  Source: D. S. Johnson
et al., "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", SIAM J. Comput. 3(4), 1974.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import LaunchClass, Target


@policy
def score(cls: LaunchClass, target: Target) -> float:
    asked, room, offer = cls.size, target.room, target.offer
    shares = []  # written out: each placement asks this of many nodes
    if asked.cores > 0 and offer.cores > 0:
        shares.append((room.cores - asked.cores) / offer.cores)
    if asked.memory_mb > 0 and offer.memory_mb > 0:
        shares.append((room.memory_mb - asked.memory_mb) / offer.memory_mb)
    if asked.disk_gb > 0 and offer.disk_gb > 0:
        shares.append((room.disk_gb - asked.disk_gb) / offer.disk_gb)
    return 1.0 - min(1.0, max(0.0, min(shares, default=0.0)))
