"""What each action means: request message → core → answer message.

An operation gets an `Asked` (who asks, through which core, under which version) and its own message, and knows nothing
of how either is spelt on the wire.  `ACTIONS` is the list of everything there is, `REFUSED` of what this cloud knows and does not do.
"""

from .table import ACTIONS, REFUSED, Action, Refused

__all__ = ["ACTIONS", "REFUSED", "Action", "Refused"]
