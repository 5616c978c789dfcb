"""The three tables as one: name → what makes it, of a scene."""

from __future__ import annotations

from query_forgeries_v1 import V1
from query_forgeries_v2 import V2
from query_forgeries_v4 import V4

FORGERIES = {**V4, **V2, **V1}
