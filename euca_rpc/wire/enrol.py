"""How a host gets its first certificate.

    administrator: Tokens.make(peer) ─► one line of text ─► typed on the host
    host: enrol(text, dir):  GET /ca ─► fingerprint = the pinned one? ─► key made here ─► POST /enrol {secret, csr}
    cloud: secret known, unused, in time? ─► used up ─► certificate for the name that the token is good for

The first request trusts nothing and sends nothing; the second one trusts only the authority whose fingerprint came
with the token, and only its cloud controller.  A token is worth one certificate for one name: its SHA-256 is on disk,
it is struck out there before the certificate is made, and of twenty who show it at once one gets through.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from euca_rpc import ids as identifiers
from euca_rpc.clock import HOUR, Clock, Micros, SystemClock, moment
from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.files import locked, read_json, write_json
from euca_rpc.wire.listener import Held, Listener
from euca_rpc.wire.pki import Authority, Identity, PeerName, fingerprint
from euca_rpc.wire.tls import Contexts, at, check_name, peer_of

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
REQUEST_S = 10.0  # for all of a request, however it drips
CONNECT_S = 10.0


# --------------------------------------------------------------------------------------------------- tokens
@dataclass(frozen=True, slots=True)
class EnrolToken:
    """What is typed on the host: ``SECRET.FINGERPRINT@HOST:PORT``."""

    secret: str
    fingerprint: str
    host: str
    port: int

    def __repr__(self) -> str:
        return f"EnrolToken(… @{self.host}:{self.port})"

    @property
    def text(self) -> str:
        return f"{self.secret}.{self.fingerprint}@{at((self.host, self.port))}"

    @classmethod
    def parse(cls, text: str) -> EnrolToken:
        try:
            secrets, _, where = text.strip().partition("@")
            secret, _, pinned = secrets.partition(".")
            host, _, port = where.rpartition(":")
            bytes.fromhex(secret), bytes.fromhex(pinned)
            token = cls(secret, pinned, host.strip("[]"), int(port))
        except ValueError:
            token = None
        if token is None or len(token.secret) != 32 or len(token.fingerprint) != 64 or not token.host:
            raise EucaError(
                "parameter_invalid",
                "that is not an enrolment token: it looks like SECRET.FINGERPRINT@HOST:PORT; copy the whole line that"
                " `euca node add` printed",
            )
        return token


class Tokens:
    """The tokens that are out, beside the authority; only hashes of them."""

    def __init__(self, authority_dir: Path) -> None:
        self._path = authority_dir / "tokens.json"

    def make(
        self,
        peer: PeerName,
        host: str,
        port: int,
        ca_pem: bytes,
        now: Micros,
        *,
        life: Micros = HOUR,
        ids: identifiers.Ids | None = None,
    ) -> EnrolToken:
        secret = f"{(ids or identifiers.SystemIds()).bits(128):032x}"
        with locked(self._path):
            kept = {
                key: token
                for key, token in self._read().items()
                if token["expires_at"] > now and token["peer"] != peer.path  # a new one ends those before it
            }
            kept[_digest(secret)] = {"peer": peer.path, "expires_at": now + life}
            self._write(kept)
        return EnrolToken(secret, fingerprint(ca_pem), host, port)

    def spend(self, secret: str, now: Micros) -> PeerName:
        """Whom the token is good for; it is good for nobody after this."""
        with locked(self._path):
            kept = self._read()
            digest = _digest(secret)
            found = [key for key in kept if hmac.compare_digest(key, digest)]
            if not found:
                raise EucaError(
                    "auth_failure",
                    "this token is not known, or was used already, or a later one took its place: ask for a new one"
                    " (`euca node token`)",
                )
            token = kept.pop(found[0])
            self._write(kept)
        if token["expires_at"] <= now:
            raise EucaError(
                "request_expired",
                f"this token ended at {moment(token['expires_at'])}: ask for a new one (`euca node token`)",
            )
        return PeerName.of_path(token["peer"])

    def _read(self) -> dict[str, Any]:
        return dict(read_json(self._path)) if self._path.exists() else {}

    def _write(self, tokens: Mapping[str, Any]) -> None:
        write_json(self._path, tokens, mode=0o600)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# --------------------------------------------------------------------------------------------------- server
class EnrolServer:
    """HTTPS on a port of its own: whoever comes here has no certificate yet."""

    def __init__(
        self,
        authority: Authority,
        tokens: Tokens,
        identity: Identity,
        host: str,
        port: int,
        clock: Clock | None = None,
    ) -> None:
        self._authority = authority
        self._tokens = tokens
        self._clock = clock or SystemClock()
        self._contexts = Contexts(identity)
        self._contexts.server.verify_mode = ssl.CERT_NONE
        self._listener = Listener(
            host, port, self._contexts.server, lambda _sock: "", self._serve, limit=64, per_peer=64
        )

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    def use(self, identity: Identity) -> None:
        self._contexts.use(identity)

    @property
    def port(self) -> int:
        return self._listener.port

    def answer(self, path: str, body: bytes) -> Mapping[str, Any]:
        if path == "/ca":
            return {"ca": self._authority.ca_pem.decode()}
        if path != "/enrol":
            raise EucaError("action_unknown", "here are only /ca and /enrol")
        try:
            request = json.loads(body)
            secret, csr = str(request["secret"]), str(request["csr"]).encode()
        except (ValueError, KeyError, TypeError, RecursionError):
            raise EucaError("parameter_invalid", "the body must be JSON with secret and csr") from None
        peer = self._tokens.spend(secret, self._clock.wall())
        certificate = self._authority.issue(csr, peer, now=self._clock.wall())
        log.info("enrolled the %s", peer.text)
        return {"certificate": certificate.decode(), "ca": self._authority.ca_pem.decode(), "peer": peer.path}

    def _serve(self, held: Held) -> None:
        watchdog = threading.Timer(REQUEST_S, held.shut)
        watchdog.daemon = True
        watchdog.start()
        held.rest()  # until its request is complete it may be given up for a new one
        try:
            _Handler(held, self)
        except OSError as error:
            log.info("enrolment from %s broke off: %s", at(held.address), error)
        finally:
            watchdog.cancel()


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer."""

    server_version = "euca"
    sys_version = ""
    timeout = REQUEST_S

    def __init__(self, held: Held, enrolment: EnrolServer) -> None:
        self._held = held
        self._enrolment = enrolment
        super().__init__(held.sock, held.address, None)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(b"") if self.path == "/ca" else self._reply(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self._reply(413, {"error": f"the body must have a length of at most {MAX_BODY} bytes"})
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        if not self._held.claim():
            raise ConnectionAbortedError("given up for a newcomer")
        try:
            self._reply(200, self._enrolment.answer(self.path, body))
        except EucaError as error:
            log.warning("enrolment from %s refused: %s", at(self.client_address[:2]), error.sentence)
            self._reply(403 if error.kind == "unauthenticated" else 400, {"error": error.to_wire()})
        except Exception:
            log.exception("enrolment from %s failed", at(self.client_address[:2]))
            self._reply(500, {"error": "something failed inside"})

    def _reply(self, status: int, value: Mapping[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s: %s", at(self.client_address[:2]), format % args)


# --------------------------------------------------------------------------------------------------- client
def enrol(text: str, directory: Path) -> Identity:
    """On the host: a key made here, a certificate for it in ``directory``."""
    token = EnrolToken.parse(text)
    where = at((token.host, token.port))
    ca_pem = str(_request(token, _blind(), "GET", "/ca")["ca"]).encode()
    try:
        pinned = hmac.compare_digest(fingerprint(ca_pem), token.fingerprint)
    except ValueError:
        pinned = False
    if not pinned:
        raise EucaError(
            "role_refused",
            f"the server at {where} shows another certificate authority than the token pins: nothing was sent to it;"
            " check host and port, and that nobody is in between",
        )
    csr = Identity.make_key_and_csr(
        directory, None
    )  # the name is the cloud's to say: this only carries the key
    answer = _request(token, _pinned(ca_pem), "POST", "/enrol", {"secret": token.secret, "csr": csr.decode()})
    return Identity.install(directory, str(answer["certificate"]).encode(), ca_pem)


def _blind() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _pinned(ca_pem: bytes) -> ssl.SSLContext:
    context = _blind()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=ca_pem.decode())
    return context


def _request(
    token: EnrolToken, context: ssl.SSLContext, method: str, path: str, body: Mapping[str, str] | None = None
) -> dict[str, Any]:
    address = (token.host, token.port)
    connection = http.client.HTTPSConnection(*address, timeout=CONNECT_S, context=context)
    try:
        connection.connect()
        if context.verify_mode is ssl.CERT_REQUIRED:
            check_name(peer_of(connection.sock), address, PeerName(contracts.CLOUD))
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        answer = json.loads(response.read(MAX_BODY + 1))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EucaError(
            "unreachable", f"the enrolment server at {at(address)} does not answer: {error}"
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            raise EucaError.from_wire(refusal)
        raise EucaError(
            "unavailable", f"the enrolment server at {at(address)} answered {response.status}: {refusal}"
        )
    return dict(answer)
