"""The nouns for people and for those who look after the cloud, made together of what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from euca_rpc.clock import Clock
from euca_rpc.cloud.guard import Guard
from euca_rpc.cloud.history import History
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.mail import Mails, Post, Service
from euca_rpc.cloud.nodes import Trust
from euca_rpc.cloud.operations import Nodes
from euca_rpc.cloud.passwords import COST, Cost, Passwords
from euca_rpc.cloud.people import People
from euca_rpc.cloud.policies import NoPolicies, Policies
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.sessions import Lives, Sessions
from euca_rpc.cloud.signup import Reception, SignUp, Terms
from euca_rpc.cloud.store import Store
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids


class NoTrust:
    """Where nodes have no certificates: in the simulator."""

    def token(self, role: str, zone: str, host: str) -> str:
        raise _none()

    def revoke(self, role: str, zone: str, host: str) -> None:
        raise _none()

    def revoked(self) -> list[str]:
        return []

    def renew(self, role: str, zone: str, host: str, request_pem: str) -> str:
        raise _none()


def _none() -> EucaError:
    return EucaError("unsupported", "this cloud has no certificate authority")


@dataclass(frozen=True, slots=True)
class OfficeSettings:
    url: str = "https://127.0.0.1:8443"  # the portal's public address, for the links in mails
    name: str = "the cloud"  # in mails
    lives: Lives = field(default_factory=Lives)
    terms: Terms = field(default_factory=Terms)
    cost: Cost = COST
    mail: Service = field(default_factory=Service)
    trust: Trust = field(default_factory=NoTrust)
    policies: Policies = field(default_factory=NoPolicies)


@dataclass(frozen=True, slots=True)
class Office:
    reception: Reception
    sign_up: SignUp
    sessions: Sessions
    people: People
    mails: Mails
    history: History
    nodes: Nodes


def open_office(
    settings: OfficeSettings,
    store: Store,
    journal: Journal,
    clock: Clock,
    ids: Ids,
    seal: Seal,
    wake: Callable[[], None],
) -> Office:
    """``wake``: nodes have to be told something."""
    post = Post(settings.url, seal, ids, settings.name)
    reception = Reception(
        journal,
        clock,
        ids,
        Passwords(ids, settings.cost),
        Guard(clock),
        post,
        lambda: settings.mail.wake(),
        settings.terms,
    )
    return Office(
        reception,
        SignUp(reception),
        Sessions(reception, seal, settings.lives),
        People(reception),
        Mails(store, journal, post, settings.mail),
        History(store, journal),
        Nodes(journal, settings.trust, settings.policies, wake),
    )
