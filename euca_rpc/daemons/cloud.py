"""The cloud controller's process: database, controller, enrolment, and the interfaces in front of its
core.

    clients ─► interfaces (their own ports and threads) ─► core ─► journal ─► disk (what has to wait: by the writer thread)
    loop thread: controller.step          carrier threads: cluster controllers          Pyro threads: `euca.cloud`
    mailer thread: the mails that wait in the store

A commit that failed or is in doubt ends the process at once: what is true is what is on disk, and the
next start reads it from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

import pluggy

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud.admin import Context
from euca_rpc.cloud.controller import CloudController, Settings, open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.launch import AddressPool
from euca_rpc.cloud.mail import Service
from euca_rpc.cloud.nodes import Trust
from euca_rpc.cloud.office import OfficeSettings
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.policies import Policies
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.servant import CloudServant
from euca_rpc.cloud.sessions import Lives
from euca_rpc.cloud.signup import Terms
from euca_rpc.cloud.specs import Blobs
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.switching import recall
from euca_rpc.config import CLOUD as PORT
from euca_rpc.config import EC2, ENROL, Config
from euca_rpc.daemons.depot import ImageDepot
from euca_rpc.daemons.frame import CRASHED, Frame, leave
from euca_rpc.daemons.mailer import Mailer, Server
from euca_rpc.daemons.trust import AuthorityTrust
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import INTERFACE_PROJECT, InterfaceSpec
from euca_rpc.ids import SystemIds
from euca_rpc.nouns import Core, Interface
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.loader import load
from euca_rpc.wire.contracts import CLOUD
from euca_rpc.wire.enrol import EnrolServer, Tokens
from euca_rpc.wire.pki import Authority

QUIET = 0.25  # seconds without a commit
log = logging.getLogger(__name__)


def main(config: Config) -> None:
    frame = Frame(config, config.identity(CLOUD), "cloud")
    store = Store(config.database)
    ids = SystemIds()
    authority = Authority.load(config.ca, config.cloud.certificate_days)
    frame.revoked = authority.revoked
    journal = Journal(store, open_view(store, frame.clock.now()), frame.clock)
    start_writer(journal, store)
    seal = Seal.load(config.seal_key)
    engine = Engine(load(config.cloud.policies), cloud_policy=config.cloud.policy, clock=frame.clock)
    recall(engine, journal.view)
    tokens = Tokens(config.ca)
    where = (config.advertised, config.port(ENROL))
    trust = AuthorityTrust(authority, tokens, frame.clock, lambda: where)
    mail = Service()
    depot = ImageDepot(config.images_url, frame.identity)
    frame.renewed.append(depot.use)
    settings = Settings(
        authority.cloud_id,
        Blobs(config.images_url, config.ticket_key.read_bytes()),
        AddressPool(config.network.address_pool),
        poll=int(config.cloud.poll_seconds * SECOND),
        silence=int(config.cloud.silence_seconds * SECOND),
        revoked=authority.revoked,
        office=office_settings(config, trust, engine, mail),
        accounts=engine,
        tends=engine,
        longest_wait=int(config.cloud.longest_wait_hours * HOUR),
        depot=depot,
    )
    placer = EnginePlacer(engine, frame.clock)
    controller = CloudController(store, journal, frame.clock, ids, frame.carrier, placer, seal, settings)

    enrolment = EnrolServer(authority, tokens, frame.identity, config.listen.address, config.port(ENROL))
    context = Context(controller, trust, seal, engine)
    servant = CloudServant(context, f"{ids.bits(64):016x}", config.defaults.administrator)

    frame.renewed.append(enrolment.use)
    enrolment.start()
    frame.offer(servant, config.port(PORT))
    post = controller.office.reception.post
    mailer = Mailer(store, journal, post, mail, mail_server(config), frame.clock, authority.cloud_id)
    mailer.start()
    interfaces = make_interfaces(config, controller.core)
    for interface in interfaces:
        interface.start()
        log.info("interface %s is open", interface.name)
    code = frame.run(controller)
    for interface in interfaces:
        interface.stop()
    mailer.stop()
    if code == 0:
        store.close()
    leave(code)


def start_writer(journal: Journal, store: Store) -> None:
    """Commits what was queued while a request committed its own; what waits meanwhile is the next batch.  When nothing is
    committed for a moment, it tidies up."""
    work = threading.Event()
    journal.wake = work.set
    journal.broken = lambda error: leave(CRASHED)

    def write() -> None:
        seen = 0
        while True:
            called = work.wait(QUIET if store.unmerged else 4 * QUIET)
            work.clear()
            try:
                if called:
                    journal.pump_all()
                elif store.unmerged and store.unmerged == seen:
                    store.merge()
                seen = store.unmerged
            except BaseException:
                log.critical("the writer failed; the process ends", exc_info=True)
                leave(CRASHED)

    threading.Thread(target=write, name="writer", daemon=True).start()


def office_settings(config: Config, trust: Trust, policies: Policies, mail: Service) -> OfficeSettings:
    said = config.sign_up
    return OfficeSettings(
        url=config.portal_url,
        name=urlsplit(config.portal_url).hostname or config.advertised,
        lives=Lives(int(said.idle_minutes * MINUTE), int(said.session_hours * HOUR)),
        terms=Terms(
            int(said.activation_hours * HOUR), int(said.recovery_minutes * MINUTE), said.most_waiting
        ),
        mail=mail,
        trust=trust,
        policies=policies,
    )


def mail_server(config: Config) -> Server | None:
    path = config.home / config.mail.password_file
    return Server(config.mail, lambda: path.read_text().partition("\n")[0]) if config.mail.server else None


def make_interfaces(config: Config, core: Core) -> list[Interface]:
    """Those named in the settings, each through its entry point, as anybody's."""
    offered = {point.name: point for point in entry_points(group="euca.interfaces")}
    made: list[Interface] = []
    for name in config.cloud.interfaces:
        if name not in offered:
            raise EucaError(
                "config_invalid",
                f"The settings name the interface {name!r}, which no installed package offers; there are"
                f" {', '.join(sorted(offered)) or 'none'}.",
            )
        manager = pluggy.PluginManager(INTERFACE_PROJECT)
        manager.add_hookspecs(InterfaceSpec)
        manager.register(offered[name].load(), name)
        made += manager.hook.euca_interface(core=core, settings=settings_of(config, name))
    return made


def settings_of(config: Config, interface: str) -> Mapping[str, Any]:
    """What is said under [interface.NAME], over what the other settings mean for the interfaces of the project."""
    usual: dict[str, Any] = {}
    if interface == "ec2":
        usual = {
            "host": config.listen.address,
            "port": config.port(EC2),
            "region": config.cloud.region,
            "state_directory": str(config.cloud_home / "ec2"),
        }
    if interface == "portal":
        usual = {
            "host": config.listen.address,
            "port": config.portal_port,
            "url": config.portal_url,
            "certificate": str(config.portal_home / "cert.pem"),
            "key": str(config.portal_home / "key.pem"),
            "ec2_url": config.ec2_url,
            "region": config.cloud.region,
            "authority": str(config.ca / "ca.pem"),
            "upload_gb": config.images.largest_gb,
        }
    return {**usual, **config.interface.get(interface, {})}
