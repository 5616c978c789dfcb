"""Where the other daemons are: the name server says, the disk remembers, the configuration may overrule.

    find: configured? ─► known and not in doubt? ─► ask the name server ─► the last good address ─► unreachable

The name server is needed only by who does not know an address yet.  What was ever found is on disk before it is used
the second time, so daemons find each other with the name server stopped, also after their own restart.  An address is
in doubt after a failed connect (`forget`): then the name server is asked again, and the old one stays as a fallback.

Names are registered again and again (`keep_registered`, `register_all` from the daemon's loop), so that an emptied
name server is full again within a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.files import read_json, write_json
from euca_rpc.wire.pki import Identity, Revoked, nothing_revoked
from euca_rpc.wire.pyro import Remote
from euca_rpc.wire.tls import Address, at

log = logging.getLogger(__name__)

NAMESERVER = contracts.object_name(contracts.NAMESERVER)
ASK_S = 1.5  # a name server answers in milliseconds or is not there
PAUSE_S = 5.0  # after it did not answer: nobody waits for it again so soon


class Directory:
    def __init__(
        self,
        identity: Identity,
        nameserver: Address | None,
        cache: Path,
        static: Mapping[str, Address] | None = None,
        *,
        revoked: Revoked = nothing_revoked,
    ) -> None:
        self._nameserver = nameserver
        self._static = dict(static or {})
        self._cache = cache
        self._remote = Remote(
            identity, Fixed({NAMESERVER: nameserver} if nameserver else {}), revoked=revoked
        )
        self._lock = threading.Lock()
        self._known = _read_cache(cache)
        self._doubted: set[str] = set()
        self._silent_until = 0.0
        self._wanted: dict[str, Address] = {}

    def find(self, object_name: str) -> Address:
        if object_name in self._static:
            return self._static[object_name]
        if object_name == NAMESERVER and self._nameserver:
            return self._nameserver
        with self._lock:
            known = self._known.get(object_name)
            if known and object_name not in self._doubted:
                return known
        fresh = self._ask(object_name)
        if fresh:
            self._remember(object_name, fresh)
            return fresh
        if known:
            return known
        raise EucaError(
            "unreachable",
            f"no address of {object_name} is known: it never registered with the name server"
            f" ({at(self._nameserver) if self._nameserver else 'none is configured'}), or that does not answer;"
            " is the daemon running?",
        )

    def forget(self, object_name: str) -> None:
        """The address did not do.  It is kept, for want of a better one, but the name server is asked first."""
        with self._lock:
            self._doubted.add(object_name)

    def register(self, object_name: str, host: str, port: int) -> None:
        """Tell the name server; raises EucaError when it refuses or is not there."""
        if self._nameserver:
            self._remote.call(
                NAMESERVER, "register", {"name": object_name, "host": host, "port": port}, ASK_S
            )

    def keep_registered(self, object_name: str, host: str, port: int) -> None:
        """To be registered by every `register_all` from now on."""
        self._wanted[object_name] = (host, port)

    def register_all(self) -> EucaError | None:
        """Called from the daemon's loop now and then; the first trouble, if any, for its log."""
        trouble = None
        for name, address in list(self._wanted.items()):
            try:
                self.register(name, *address)
            except EucaError as error:
                trouble = trouble or error
        return trouble

    def use(self, identity: Identity) -> None:
        self._remote.use(identity)

    def close(self) -> None:
        self._remote.close()

    def _ask(self, object_name: str) -> Address | None:
        if self._nameserver is None or time.monotonic() < self._silent_until:
            return None
        try:
            found = self._remote.call(NAMESERVER, "lookup", {"name": object_name}, ASK_S)["address"]
        except EucaError as error:
            log.warning("going on with the addresses known so far: %s", error.sentence)
            self._silent_until = time.monotonic() + PAUSE_S
            return None
        return (str(found[0]), int(found[1])) if found else None

    def _remember(self, object_name: str, address: Address) -> None:
        with self._lock:
            self._doubted.discard(object_name)
            if self._known.get(object_name) == address:
                return
            self._known[object_name] = address
            write_json(self._cache, {name: list(where) for name, where in self._known.items()})


def _read_cache(path: Path) -> dict[str, Address]:
    try:
        return {str(name): (str(host), int(port)) for name, (host, port) in read_json(path).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("the addresses in %s cannot be read (%s): asking the name server for all", path, error)
        return {}
