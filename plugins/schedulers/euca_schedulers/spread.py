"""Fault independence within a reservation: its machines go to as many nodes as possible, so that one host's end takes
few of them along.  Among nodes that hold equally many of them: the one with the largest share free, as `least_full`.
"""

from __future__ import annotations

from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Target
from euca_schedulers import least_full


@policy
def score(target: Target) -> float:
    # of nodes with one machine more than others even the emptiest comes after all of those: (1, 2] / 2^(1 + n)
    return (1.0 + least_full.score(target)) / 2.0 ** (1 + target.batch)
