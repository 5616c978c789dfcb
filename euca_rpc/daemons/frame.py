"""What every daemon has besides its controller: an identity, a way to call others, and three beats.

    register     every few seconds, so that an emptied or restarted name server is full again
    revoked      which certificates count no more, asked of the cloud controller and kept on disk
    renew        a fresh certificate for our own name once two thirds of its life are over

    main thread   waits for SIGTERM, SIGINT or the end of the loop
    loop thread   steps the controller; if that raises, the process ends with 70 and whoever supervises starts it again

Every beat may fail for any time without harm: the name server or the cloud controller may be down.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from euca_rpc.clock import SECOND, Clock, SystemClock
from euca_rpc.config import Config
from euca_rpc.daemons import log as logs
from euca_rpc.daemons.carrier import ThreadCarrier
from euca_rpc.daemons.loop import Loop
from euca_rpc.daemons.rotation import Rotation
from euca_rpc.errors import EucaError
from euca_rpc.stepper import Stepper
from euca_rpc.wire.contracts import CLOUD, object_name
from euca_rpc.wire.directory import Directory
from euca_rpc.wire.enrol import enrol
from euca_rpc.wire.files import write_atomically
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.pyro import Endpoint, Remote
from euca_rpc.wire.revocation import RevokedList

log = logging.getLogger(__name__)

REGISTER_S = 5.0
REVOKED_S = 30.0
RENEW_S = 3600.0
RENEW_LOOKS = 50  # at least so often in a certificate's life, however short it is
AGAIN_S = 3.0  # after a beat that failed
CRASHED = 70  # EX_SOFTWARE
WORKERS = 32


class Frame:
    """Made at the start of every daemon; ``directory`` is that of its identity."""

    def __init__(self, config: Config, directory: Path, name: str, workers: int = WORKERS) -> None:
        logs.begin(name, rotation=rotation(config))
        self.config = config
        self.clock: Clock = SystemClock()
        self.identity = Identity.load(directory)
        self.identity.check_not_expired(self.clock.wall())
        self.revoked: Callable[[], frozenset[int]] = RevokedList(directory / "revoked.json")
        self.directory = Directory(
            self.identity, config.nameserver, directory / "addresses.json", revoked=lambda: self.revoked()
        )
        self.remote = Remote(self.identity, self.directory, revoked=lambda: self.revoked())
        self.carrier = ThreadCarrier(self.remote, workers)
        self.renewed: list[Callable[[Identity], None]] = [self.directory.use, self.remote.use]
        self._ending = os.pipe()
        self._code = 0
        self._over = threading.Event()

    # ------------------------------------------------------------------------------------------------ serving
    def offer(self, servant: object, port: int) -> None:
        """Reachable under our certificate's name, from now on told to the name server."""
        name = self.identity.peer.object_name
        endpoint = Endpoint(
            self.identity,
            self.config.listen.address,
            port,
            {name: servant},
            advertise=self.config.advertised,
            revoked=lambda: self.revoked(),
        )
        endpoint.start()
        self.renewed.append(endpoint.use)
        self.directory.keep_registered(name, *endpoint.address)
        log.info("%s listens on %s:%d", name, self.config.listen.address, endpoint.port)

    def run(self, stepper: Stepper | None = None) -> int:
        """Until a signal or a crash; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.end(0))
        beats = [
            (self._register, lambda: REGISTER_S),
            (self._revoked, lambda: REVOKED_S),
            (self._renew, lambda: min(RENEW_S, self.identity.life / SECOND / RENEW_LOOKS)),
        ]
        for beat, seconds in beats:
            threading.Thread(
                target=self._every, args=(seconds, beat), name=beat.__name__, daemon=True
            ).start()
        loop = Loop(stepper, self.clock) if stepper is not None else None
        thread = (
            threading.Thread(target=self._drive, args=(loop,), name="loop", daemon=True) if loop else None
        )
        if thread is not None:
            thread.start()
        os.read(self._ending[0], 1)  # not an Event: a handler that sets one the main thread waits on can hang
        self._over.set()
        if loop is not None and thread is not None:
            loop.end()
            thread.join(5.0)
        log.info("ended" if self._code == 0 else "ended after a crash")
        return self._code

    def end(self, code: int) -> None:
        self._code = self._code or code
        os.write(self._ending[1], b".")

    def _drive(self, loop: Loop) -> None:
        try:
            loop.run()
        except BaseException:
            log.critical("the controller's step failed; the process ends", exc_info=True)
            self.end(CRASHED)

    # -------------------------------------------------------------------------------------------------- beats
    def _every(self, seconds: Callable[[], float], beat: Callable[[], None]) -> None:
        failures, told = 0, ""
        while True:
            pause = min(seconds(), AGAIN_S)
            try:
                beat()
            except EucaError as error:
                failures += 1
                # each kind of trouble once, not every few seconds; and when all start together the first may well fail
                if failures >= 2 and error.symbol != told:
                    log.warning("%s: %s", beat.__name__.strip("_"), error.sentence)
                    told = error.symbol
            except Exception:
                log.exception("%s failed", beat.__name__)
            else:
                if failures > 1:
                    log.info("%s: works again", beat.__name__.strip("_"))
                pause, failures, told = seconds(), 0, ""
            if self._over.wait(pause):
                return

    def _register(self) -> None:
        trouble = self.directory.register_all()
        if trouble is not None:
            raise trouble

    def _revoked(self) -> None:
        if self.identity.peer.role != CLOUD:  # which has the authority itself
            self.take_revoked(self.remote.call(object_name(CLOUD), "revoked", {})["serials"])

    def take_revoked(self, serials: Iterable[str]) -> None:
        if isinstance(self.revoked, RevokedList):
            self.revoked.take(serials)

    def _renew(self) -> None:
        if not self.identity.due_for_renewal(self.clock.wall()):
            return
        self.identity.check_not_expired(self.clock.wall())  # then nobody listens to us any more
        directory, peer = self.identity.directory, self.identity.peer
        request = Identity.make_key_and_csr(directory, peer)
        answer = self.remote.call(object_name(CLOUD), "renew", {"csr": request.decode()})
        self.identity = Identity.install(directory, answer["certificate"].encode(), self.identity.ca_pem)
        for use in self.renewed:
            use(self.identity)
        log.info("the certificate was renewed")


def rotation(config: Config) -> Rotation:
    return Rotation(config.log.megabytes << 20, config.log.files, config.home)


def enrol_once(directory: Path, token: str) -> None:
    """A token is good once; the start line that holds it may be used for ever.  Another token than last time means
    that the host was added anew: what it holds from before may have been revoked."""
    mark = directory / "enrolled_by"
    digest = hashlib.sha256(token.encode()).hexdigest()
    if (directory / "cert.pem").exists() and mark.exists() and mark.read_text() == digest:
        return
    try:
        enrol(token, directory)
    except EucaError as error:
        if not (directory / "cert.pem").exists():
            raise
        log.warning("going on with the certificate that is here: %s", error.sentence)
        return
    write_atomically(mark, digest.encode(), mode=0o600)


def leave(code: int) -> None:
    """A daemon's process ends here: at once, whatever threads still wait for a peer."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
