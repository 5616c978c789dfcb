"""The cloud controller's way to the image server: what comes through a page is passed on in the thread that brings it;
what nothing needs any more is deleted by one thread, in the order of asking.

Bytes that could not be deleted cost room on the disk and nothing else, so that is told in the log and not tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from euca_rpc.errors import EucaError
from euca_rpc.images import client
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.tls import Contexts

log = logging.getLogger(__name__)


class ImageDepot:
    """`cloud.images.Depot`."""

    def __init__(self, base_url: str, identity: Identity) -> None:
        self._url, self._contexts = base_url, Contexts(identity)
        self._deleting = ThreadPoolExecutor(1, "depot")

    def use(self, identity: Identity) -> None:
        self._contexts.use(identity)

    def take(self, ticket: str, declared: tuple[str, str, str], size: int, chunks: Iterable[bytes]) -> str:
        return client.pass_on(self._url, self._contexts.client, ticket, declared, size, chunks)

    def forget(self, sha256: str, ticket: str) -> None:
        self._deleting.submit(self._forget, sha256, ticket)

    def _forget(self, sha256: str, ticket: str) -> None:
        try:
            client.forget(self._url, self._contexts.client, sha256, ticket)
        except EucaError as error:
            log.warning("the bytes of %s are still in the image store: %s", sha256, error.sentence)
