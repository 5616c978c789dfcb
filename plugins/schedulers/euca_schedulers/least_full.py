"""The node with the largest share free, judged by what is scarcest on it: load spreads evenly.

A node with half its cores and all its memory free is half full.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Target


@policy
def score(target: Target) -> float:
    room, offer = target.room, target.offer
    shares = []  # written out: each placement asks this of several nodes
    if offer.cores > 0:
        shares.append(room.cores / offer.cores)
    if offer.memory_mb > 0:
        shares.append(room.memory_mb / offer.memory_mb)
    if offer.disk_gb > 0:
        shares.append(room.disk_gb / offer.disk_gb)
    return min(1.0, max(0.0, min(shares, default=0.0)))
