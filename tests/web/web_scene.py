"""A whole cloud in one process, on simulated time, the live portal in front of its core, and browsers made of sockets.

`Browser` is a strict one where it protects the portal (cookies are kept as their attributes say) and a willing one where
an attacker would use it (any header, any form, any path).
"""

from __future__ import annotations

import html
import http.client
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from euca_rpc.clock import HOUR, SystemClock
from euca_rpc.cloud import accounts
from euca_rpc.cloud.bootstrap import FIRST_LOGIN
from euca_rpc.cloud.changes import Change, Outcome, Put, Remove
from euca_rpc.cloud.passwords import Cost, Passwords
from euca_rpc.daemons.depot import ImageDepot
from euca_rpc.ids import SystemIds
from euca_rpc.images.blobs import Blobs
from euca_rpc.images.qcow2 import Limits
from euca_rpc.images.server import ImageServer
from euca_rpc.testing.network import Weather
from euca_rpc.testing.world import IMAGE, World
from euca_rpc.types import Caller, InstanceLease, LaunchRequest, Password, Profile, UserStatus
from euca_rpc.wire.pki import Authority, Identity, PeerName, read_certificate
from euca_rpc.wire.tls import Contexts
from euca_rpc.wire.web_certificate import make_web_certificate
from euca_web import euca_interface

PASSWORD = "correct horse battery"
USERS = ("admin", "ann", "bob")
AUTHORITY = "-----BEGIN CERTIFICATE-----\nthe authority's\n-----END CERTIFICATE-----\n"


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    raw: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """ "" if it is not there; it must not be there twice."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else ""

    @property
    def location(self) -> str:
        return self.header("Location")

    @property
    def text(self) -> str:
        return self.raw.decode()

    @property
    def shown(self) -> str:
        """The page's words as a reader sees them."""
        return html.unescape(re.sub(r"<[^>]*>", " ", self.text))


class Browser:
    def __init__(self, scene: Scene, host: str = "localhost") -> None:
        self.scene, self.host = scene, host
        self.jar: dict[str, str] = {}
        self.proof = ""

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, form: dict[str, Any] | None = None, **headers: str) -> Answer:
        """With the proof of the page that was seen last, as a browser sends it."""
        return self.ask("POST", path, {"proof": self.proof, **(form or {})}, headers)

    def ask(self, method: str, path: str, form: Any = None, headers: dict[str, str] | None = None) -> Answer:
        sent = {"Host": f"{self.host}:{self.scene.port}"}
        sent |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.jar:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.jar.items()))
        body = form
        if isinstance(form, dict):
            body = urlencode(form).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = http.client.HTTPSConnection(
            "localhost", self.scene.port, timeout=20, context=self.scene.trust
        )
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name.lower() != "set-cookie":
                continue
            pair, *attributes = [part.strip() for part in value.split(";")]
            cookie, _, content = pair.partition("=")
            said = {part.partition("=")[0].lower(): part.partition("=")[2] for part in attributes}
            assert cookie.startswith("__Host-"), value
            assert {"secure", "httponly", "path", "samesite"} <= set(said), value
            assert said["path"] == "/", value
            assert said["samesite"] == "Lax", value
            assert "domain" not in said, value
            if said.get("max-age") == "0":
                self.jar.pop(cookie, None)
            else:
                self.jar[cookie] = content
        found = re.search(rb'name="proof" value="([0-9a-f]+)"', answer.raw)
        if found:
            self.proof = found[1].decode()

    def log_in(self, name: str, password: str = PASSWORD) -> Browser:
        self.get("/login")
        answer = self.post("/login", {"user_name": name, "password": password})
        assert answer.status == 303, answer.shown
        self.get("/profile")
        return self


class Scene:
    """``opened`` False: the administrator's first steps are owed."""

    def __init__(self, root: Path, opened: bool = True, **settings: Any) -> None:
        self.world = World(root / "world", "web")
        # its judge knows what its own clients asked for, and takes ours for nobody's wish
        self.world.history.published = lambda view: None  # type: ignore[method-assign]
        self.world.network.weather = Weather.fair()
        self.world.concurrency = self.world.interleaving = 0.0  # nobody but the test asks for anything
        self.core = self.world.cloud.core
        self.journal = self.world.cloud.journal
        # what a hash costs is tested where it is made
        self.world.cloud.office.reception.passwords.__init__(SystemIds(), Cost(4))  # type: ignore[misc]
        make_web_certificate(root / "tls", ("localhost", "127.0.0.1"))
        (root / "authority.pem").write_text(AUTHORITY)
        self.trust = ssl.create_default_context(cafile=str(root / "tls" / "cert.pem"))
        self.portal = euca_interface(
            self.core,
            {
                "port": 0,
                "certificate": str(root / "tls" / "cert.pem"),
                "key": str(root / "tls" / "key.pem"),
                "authority": str(root / "authority.pem"),
                "url": "https://cloud.example.org:8443",
                **settings,
            },
        )
        self.portal.start()
        self.port = self.portal.port
        if opened:
            self.open()
        self._browsers: dict[str, Browser] = {}

    def close(self) -> None:
        self.portal.stop()
        self.world.cloud.store.close()

    def open(self) -> None:
        """As after the first steps; the world's users can log in."""
        hashed = Passwords(SystemIds(), Cost(4)).hash(PASSWORD)
        view, wall = self.world.view, self.world.clock.wall()
        changes: list[Change] = [Remove(view.settings[FIRST_LOGIN])]
        for name in USERS:
            user = accounts.find_user(view, name)
            changes.append(Put(replace(user, email=f"{name}@example.org", status=UserStatus.ACTIVE)))
            changes.append(Put(Password(user.id, hashed, wall)))
        self.journal.do(lambda view, now: Outcome(tuple(changes)))

    # ------------------------------------------------------------------------------------------- for tests
    def browser(self, name: str = "", fresh: bool = False) -> Browser:
        """Logged in as that user; "" = nobody.  ``fresh``: one of its own, not shared with other tests."""
        if not name:
            return Browser(self)
        if fresh or name not in self._browsers:
            made = Browser(self).log_in(name)
            if fresh:
                return made
            self._browsers[name] = made
        return self._browsers[name]

    def caller(self, name: str) -> Caller:
        return accounts.caller_for(accounts.find_user(self.world.view, name), "test", "req-test")

    def launch(self, name: str = "ann", **more: Any) -> str:
        made = self.core.instances.launch(self.caller(name), LaunchRequest(IMAGE, **more))
        return made.instances[0].instance.id

    def lease(self, id: str, hours: int = 5, allowed: int = 1000) -> str:
        """As a policy would have given it; ``allowed``: hours from now that its user may extend it to."""
        now = self.world.clock.now()
        row = InstanceLease(id, "lease", now + hours * HOUR, "stop", now + allowed * HOUR)
        self.journal.do(lambda view, now: Outcome((Put(row),)))
        return id

    def apply(self, user_name: str, **profile: str) -> str:
        """A request that waits; its id."""
        told = Profile(**{"full_name": "Carol", "email": f"{user_name}@example.org", **profile})
        self.core.sign_up.apply(_visitor(), user_name, PASSWORD, told)
        found = self.core.people.requests(self.caller("admin"), search=user_name)
        return found.rows[-1].id

    def profile(self, name: str) -> Profile:
        return Profile(full_name=name, email=f"{name}@example.org")

    def activate(self, name: str) -> None:
        user = accounts.find_user(self.world.view, name)
        self.journal.do(lambda view, now: Outcome((Put(replace(user, status=UserStatus.ACTIVE)),)))

    def private_image(self, name: str, number: int) -> str:
        id, owner = f"emi-{number:08x}", self.caller(name)
        image = replace(
            self.world.view.images[IMAGE],
            id=id,
            account_id=owner.account_id,
            created_by=owner.user_id,
            public=False,
        )
        self.journal.do(lambda view, now: Outcome((Put(image),)))
        return id

    def forgive(self) -> None:
        """Nobody asked too often."""
        reception = self.world.cloud.office.reception
        reception.guard.__init__(self.world.clock)

    def letters(self) -> list[Any]:
        admin = self.caller("admin")
        return [self.core.mails.show(admin, row.id) for row in self.core.mails.waiting(admin).rows]

    def settle(self, seconds: float = 30) -> None:
        self.world.run(seconds)

    def meanwhile(self, job: Callable[[], Answer]) -> Answer:
        """A request that waits for a node, and the simulated time that it needs."""
        box: list[Answer] = []
        thread = threading.Thread(target=lambda: box.append(job()))
        thread.start()
        while thread.is_alive():
            thread.join(0.02)
            self.world.run(0.5)
        return box[0]


class ImageStore:
    """A real image server with certificates of a real authority; `scene` passes on to it what is uploaded."""

    def __init__(self, root: Path, scene: Scene) -> None:
        self.blobs = Blobs(root / "blobs")
        authority, cloud_id = Authority.create(root / "ca", "web"), "web"
        key = scene.world.cloud.settings.blobs.ticket_key

        def identity(role: str) -> Identity:
            request = Identity.make_key_and_csr(root / role, PeerName(role))
            return Identity.install(root / role, authority.issue(request, PeerName(role)), authority.ca_pem)

        def peer_of(der: bytes) -> PeerName:
            peer = read_certificate(der)
            assert peer.cloud_id == cloud_id
            return peer.name

        server = Contexts(identity("images")).server
        limits = Limits(bytes=64 << 20)
        self.server = ImageServer(self.blobs, server, peer_of, key, "127.0.0.1", 0, SystemClock(), limits)
        self.server.start()
        depot = ImageDepot(f"https://127.0.0.1:{self.server.port}", identity("cloud"))
        images = scene.world.cloud.images
        images._depot, images._clock = depot, SystemClock()  # what is signed is signed in real time

    def kept(self) -> dict[str, int]:
        return dict(self.blobs.list())

    def close(self) -> None:
        self.server.stop()


_from = iter(range(1, 60_000))


def _visitor() -> Any:
    from euca_rpc.shown import Visitor

    number = next(_from)  # nobody is throttled by another test
    return Visitor(f"198.18.{number // 250}.{number % 250 + 1}", "req-visitor")
