"""The hypervisor protocol over libvirt: KVM, QEMU/TCG, Xen, and libvirt's own `test:///`.  The only import of libvirt.

    caller's thread ──► a worker thread ──► libvirt connection ◄── event loop thread (one per process)
           waits at most the call's bound               keepalive: a libvirtd that hangs closes the connection

Domains are persistent, so that libvirt remembers why one ended, and are undefined by `stop`.  A libvirtd that is gone,
hangs or restarts is `unreachable`; the next call connects again (guests survive it).  The state of a `test:///` lives in
its connection, so that one is opened once and kept for life.

This is an edge: it owns threads (the event loop, and workers so that a call that never returns costs a thread, not the
node), and it reads the host's boot id.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from euca_rpc.errors import EucaError
from euca_rpc.node.domain_xml import KINDS, MARK, backup_xml, domain_xml, read_mark
from euca_rpc.node.hypervisor import Domain, DomainPlan, HostFacts, Mark
from euca_rpc.node.machine import Superseded, stand_in
from euca_rpc.node.marks import may_start, may_touch, not_running
from euca_rpc.types import End, Size

log = logging.getLogger(__name__)
T = TypeVar("T")

QUICK, LONG = 4.0, 45.0  # seconds: questions (a report has 5 s in all); starting and destroying
STUCK = 8  # calls that never returned; more are refused at once
COPY_LOOK, JOB_ENDS = 0.2, 20.0  # seconds
KEEPALIVE = (1, 3)  # a ping a second, gone after three that got no answer

_ENDS = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: End.GUEST,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: End.ASKED,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: End.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: End.CRASHED,
}
_GONE = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_SYSTEM_ERROR,
}
_COMPLETED = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE  # and what only QEMU's driver has:
_UNDEFINE_QEMU = (
    _UNDEFINE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class LibvirtHypervisor:
    """``virt``: "kvm", "qemu", "xen" or "test" (`virtualisation.choose_virtualisation` for "auto")."""

    def __init__(self, uri: str, virt: str, boot_id: Callable[[], str] | None = None) -> None:
        _event_loop()
        self._uri, self._virt, self._boot_id = uri, virt, boot_id or host_boot_id
        self._for_life = uri.startswith("test:")
        self._undefine = _UNDEFINE_QEMU if virt in ("kvm", "qemu") else _UNDEFINE
        self._lock = threading.Lock()
        self._connection: Any = None
        self._stuck = 0
        self._changed: Callable[[], None] = lambda: None
        if self._for_life:
            self._connection = self._open()
        self._test_boot = f"test-{time.time_ns():x}" if self._for_life else ""

    # --------------------------------------------------------------------------------- the Hypervisor protocol
    def facts(self) -> HostFacts:
        model, memory_mb, cores = self._ask(lambda c: c.getInfo()[:3], QUICK)
        return HostFacts(
            hypervisor=self._virt,
            architecture={"i686": "x86_64"}.get(model, model) or platform.machine(),
            cores=cores,
            memory_mb=memory_mb,
            boot_id=self._test_boot or self._boot_id(),
        )

    def domains(self) -> list[Domain]:
        return self._ask(_list, QUICK)

    def start(self, plan: DomainPlan) -> None:
        text = domain_xml(plan, self._virt)

        def start(connection: Any) -> None:
            there = _find(connection, plan.name)
            if not may_start(_describe(there) if there is not None else None, plan.mark):
                return
            if there is not None:
                there.undefineFlags(self._undefine)  # an older generation that has ended
            domain = connection.defineXML(text)
            try:
                domain.create()
            except libvirt.libvirtError:
                if not domain.isActive():
                    domain.undefineFlags(self._undefine)
                raise

        self._ask(start, LONG)

    def stop(self, mark: Mark) -> None:
        def stop(connection: Any) -> None:
            there = _find(connection, mark.instance_id)
            if there is None or may_touch(_describe(there), mark, "stopped") is None:
                return
            if there.isActive():
                there.destroy()
            there.undefineFlags(self._undefine)

        self._ask(stop, LONG)

    def reboot(self, mark: Mark) -> None:
        def reset(connection: Any) -> None:
            there = _find(connection, mark.instance_id)
            if there is None or may_touch(_describe(there), mark, "reset") is None or not there.isActive():
                raise EucaError("state_conflict", f"{mark.instance_id} does not run, so it cannot be reset.")
            if self._virt in ("kvm", "qemu"):
                there.reset()
            else:
                there.reboot()

        self._ask(reset, QUICK, again=False)

    def copy_root(self, mark: Mark, to: Path, wanted: Callable[[], bool]) -> None:
        """QEMU's own backup job: it copies what the disk held when it began, and writes of the guest wait for what they
        would change.  One that an earlier daemon left behind is ended first."""
        if self._virt == "test":
            self._ask(lambda c: _running(c, mark), QUICK)
            stand_in(to, mark.instance_id)
            return
        if self._virt not in ("kvm", "qemu"):
            raise EucaError(
                "unsupported",
                f"The disk of {mark.instance_id} cannot be copied while it runs under {self._virt}: stop it first.",
            )
        self._ask(lambda c: _end_job(_running(c, mark)), LONG)
        wish = backup_xml(KINDS[self._virt].disk, to)
        self._ask(lambda c: _running(c, mark).backupBegin(wish, None, 0), LONG, again=False)
        works = True
        while works:
            if not wanted():
                self._ask(lambda c: _end_job(_running(c, mark)), LONG)
                raise Superseded
            time.sleep(COPY_LOOK)
            works = self._ask(lambda c: _works(_running(c, mark)), QUICK)
        done = self._ask(lambda c: _running(c, mark).jobStats(_COMPLETED), QUICK)
        if done.get("operation") != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP or not done.get("success"):
            raise EucaError(
                "unavailable",
                f"The copy of the disk of {mark.instance_id} ended early: {done.get('errmsg') or 'no reason told'}.",
            )

    def listen(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            self._for_life = False
        if connection is not None:
            connection.close()

    # ---------------------------------------------------------------------------------------------- the wire
    def _ask(self, what: Callable[[Any], T], bound: float, *, again: bool = True) -> T:
        """``what`` with the connection, in a worker; once more over a new connection if the old one had gone."""
        began = time.monotonic()
        try:
            return self._bounded(lambda: self._once(what), bound)
        except EucaError as error:
            gone = error.symbol == "unreachable" and not error.facts.get("hung")
            if not gone or not again or self._for_life:
                raise
        return self._bounded(lambda: self._once(what), bound - (time.monotonic() - began))

    def _once(self, what: Callable[[Any], T]) -> T:
        connection = None
        try:
            connection = self._connected()
            return what(connection)
        except libvirt.libvirtError as error:
            said = str(error).partition("\n")[0][:300]
            if connection is None or error.get_error_code() in _GONE or not _alive(connection):
                self._drop(connection)
                raise EucaError(
                    "unreachable",
                    f"libvirt at {self._uri} does not answer ({said}). Machines run on; see whether its daemon does.",
                ) from None
            raise EucaError("internal", f"libvirt refused: {said}") from None

    def _bounded(self, job: Callable[[], T], bound: float) -> T:
        if self._for_life:
            return job()  # libvirt's test driver runs in this process and cannot hang on a peer
        if self._stuck >= STUCK:
            raise self._hangs(bound)
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name="libvirt-call", daemon=True).start()
        try:
            return future.result(bound)
        except TookTooLong:
            with self._lock:
                self._stuck += 1
                old, self._connection = self._connection, None  # the next call tries a new one
            future.add_done_callback(lambda _: self._came_back(old))
            raise self._hangs(bound) from None

    def _came_back(self, old: Any) -> None:
        """The call that hung has ended, by keepalive or because libvirtd goes on."""
        with self._lock:
            self._stuck -= 1
        if old is not None:
            with contextlib.suppress(libvirt.libvirtError):
                old.close()

    def _hangs(self, bound: float) -> EucaError:
        return EucaError(
            "unreachable",
            f"libvirt at {self._uri} took a call and did not answer within {bound:.0f} s. Machines run on.",
            facts={"hung": True},
        )

    def _connected(self) -> Any:
        with self._lock:
            connection = self._connection
        if connection is None:
            connection = self._open()
            with self._lock:
                self._connection = connection
        return connection

    def _open(self) -> Any:
        connection = libvirt.open(self._uri)
        if not self._for_life:
            connection.setKeepAlive(*KEEPALIVE)
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda *_: self._changed(), None
        )
        return connection

    def _drop(self, connection: Any) -> None:
        with self._lock:
            if self._connection is connection and not self._for_life:
                self._connection = None


# ---------------------------------------------------------------------------------------------------- details
def _running(connection: Any, mark: Mark) -> Any:
    """Our domain, which runs."""
    there = _find(connection, mark.instance_id)
    if there is None or may_touch(_describe(there), mark, "copied") is None or not there.isActive():
        raise not_running(mark)
    return there


def _works(domain: Any) -> bool:
    return bool(domain.jobStats()["type"] != libvirt.VIR_DOMAIN_JOB_NONE)


def _end_job(domain: Any) -> None:
    until = time.monotonic() + JOB_ENDS
    while _works(domain):
        if time.monotonic() > until:
            raise EucaError("unavailable", f"A copy of the disk of {domain.name()} under way does not end.")
        with contextlib.suppress(libvirt.libvirtError):  # it may end by itself
            domain.abortJob()
        time.sleep(COPY_LOOK)


def host_boot_id() -> str:
    """Of this host: a simulated one, that shares its kernel with others, is told its own."""
    return os.environ.get("EUCA_BOOT_ID") or Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _list(connection: Any) -> list[Domain]:
    domains = []
    for domain in connection.listAllDomains(0):
        try:
            domains.append(_describe(domain))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # it went while we looked
                raise
    return domains


def _find(connection: Any, name: str) -> Any:
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _describe(domain: Any) -> Domain:
    state, reason = domain.state()
    running = state not in (
        libvirt.VIR_DOMAIN_SHUTOFF,
        libvirt.VIR_DOMAIN_CRASHED,
        libvirt.VIR_DOMAIN_NOSTATE,
    )
    end = (
        ""
        if running
        else End.CRASHED
        if state == libvirt.VIR_DOMAIN_CRASHED
        else _ENDS.get(reason, End.UNKNOWN)
    )
    _, memory_kb, _, cores, _ = domain.info()
    return Domain(domain.name(), _mark(domain), running, Size(cores, memory_kb // 1024, 0), end)


def _mark(domain: Any) -> Mark | None:
    try:
        return read_mark(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MARK, 0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


_loop_lock = threading.Lock()
_loop_runs = False


def _event_loop() -> None:
    """libvirt's own loop, once per process and before the first connection; it dies with the process."""
    global _loop_runs
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(lambda _, error: log.debug("libvirt: %s", error[2]), None)
        threading.Thread(target=_run_loop, name="libvirt-events", daemon=True).start()
        _loop_runs = True


def _run_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
