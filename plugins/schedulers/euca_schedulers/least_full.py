"""The node with the largest share free, judged by what is scarcest on it: load spreads evenly.

A node with half its cores and all its memory free is half full.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Target


@policy
def score(target: Target) -> float:
    shares = [
        room / offer
        for room, offer in zip(target.room.parts(), target.offer.parts(), strict=True)
        if offer > 0
    ]
    return min(1.0, max(0.0, min(shares, default=0.0)))
