"""The node with the largest share free, judged by what is scarcest on it: load spreads evenly.

A node with half its cores and all its memory free is half full.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Target


@policy
def score(target: Target) -> float:
    room, offer = target.room, target.offer
    if offer.cores <= 0 and offer.memory_mb <= 0 and offer.disk_gb <= 0:
        return 0.0
    least = 1.0  # written out: each placement asks this of several nodes
    if offer.cores > 0 and (share := room.cores / offer.cores) < least:
        least = share
    if offer.memory_mb > 0 and (share := room.memory_mb / offer.memory_mb) < least:
        least = share
    if offer.disk_gb > 0 and (share := room.disk_gb / offer.disk_gb) < least:
        least = share
    return least if least > 0.0 else 0.0
