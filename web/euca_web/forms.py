"""Fields that several pages have in common."""

from __future__ import annotations

from euca_rpc.types import Quota

from .asked import Fields

MOST = 100_000_000


def quota_of(form: Fields) -> Quota:
    """An empty field is no limit.  Whose quota it is, the core's verb says."""
    return Quota(
        "",
        form.whole("instances", 0, MOST, -1),
        form.whole("cores", 0, MOST, -1),
        form.whole("memory_mb", 0, MOST, -1),
        form.whole("disk_gb", 0, MOST, -1),
    )
