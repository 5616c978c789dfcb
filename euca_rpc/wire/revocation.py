"""The serial numbers nobody trusts any more, as a daemon other than the cloud controller knows them.

Asked of the cloud now and then (`cloud.revoked`), kept on disk, so that a restart with the cloud away forgets none.
They only ever grow: what was revoked stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from euca_rpc.wire.files import read_json, write_json

log = logging.getLogger(__name__)


class RevokedList:
    """Call it for the set; it is what `Endpoint`, `Remote` and `Directory` take as ``revoked``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._serials: frozenset[int] = frozenset()
        if path.exists():  # a list that cannot be read stops the daemon: trusting everybody is no fallback
            self._serials = frozenset(int(serial) for serial in read_json(path)["serials"])

    def __call__(self) -> frozenset[int]:
        return self._serials

    def take(self, serials: Iterable[str]) -> None:
        """What the cloud answered."""
        grown = self._serials | {int(serial) for serial in serials}
        if grown != self._serials:
            write_json(self._path, {"serials": sorted(map(str, grown))})
            self._serials = grown
