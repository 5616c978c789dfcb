"""The endpoint on cheroot: plain WSGI, own threads, behind the gate.

Limits: 64 KiB of head, 1 MiB of body, a time for the request and one for the answer.  http and, if wanted, https on a
port of its own share one `Endpoint`.  Plain http off loopback is the site's decision: the answer to CreateKeyPair is a
private key, so the log says it at start.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from typing import Any

from cheroot import server as cheroot_server
from cheroot import wsgi
from cheroot.ssl import Adapter

from euca_rpc.errors import EucaError
from euca_rpc.nouns import Core

from .endpoint import Endpoint, Response
from .gate import MAX_BODY, MAX_HEAD, Gate, makefile
from .request import Request
from .settings import Ec2Settings

LINGER = 1.0  # milliseconds that a thread stays with a connection it has answered
log = logging.getLogger("euca.ec2")
Environ = dict[str, Any]


class _HttpRequest(cheroot_server.HTTPRequest):
    def respond(self) -> None:
        super().respond()
        self.conn.wfile.flush()

    def simple_response(self, status: Any, msg: str = "") -> None:
        """cheroot's own refusals: with a Date, and the connection closed, because its state is unknown."""
        self.close_connection = True
        body = f"{msg}\n".encode() if msg else b""
        head = (
            f"{self.server.protocol} {status}\r\nDate: {formatdate(usegmt=True)}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.conn.wfile.write(head.encode("latin-1") + body)
        self.conn.wfile.flush()


class _Connection(cheroot_server.HTTPConnection):
    RequestHandlerClass = _HttpRequest

    def __init__(self, server: Any, sock: Any, _makefile: Any = None) -> None:
        super().__init__(server, sock, makefile)

    def communicate(self) -> bool:
        gate: Gate = self.server.gate
        try:
            gate.working(self)
            while super().communicate():  # type: ignore[no-untyped-call]
                if not self._goes_on():
                    return True
                gate.working(self)
            return False
        finally:
            gate.done(self)

    def _goes_on(self) -> bool:
        """Is the client's next request here within a moment?  Then this thread answers it, and two hand-overs between
        threads are saved.  Never while other connections wait for a thread."""
        server = self.server
        if (
            server.requests.qsize
            or not server.ready
            or self.rfile.has_data()
            or isinstance(self.socket, ssl.SSLSocket)
        ):
            return False
        look = select.poll()
        look.register(self.socket, select.POLLIN)
        if not look.poll(LINGER):
            return False
        piece = self.socket.recv(65536)
        self.rfile.continued = False
        self.rfile.buffer += piece
        return bool(self.rfile.ready())  # if not: the gate gathers the rest, or sees the end


class _Server(wsgi.Server):
    ConnectionClass = _Connection
    gate: Gate

    def process_conn(self, conn: Any) -> None:
        self.gate.admit(conn)

    def put_conn(self, conn: Any) -> None:
        """Kept alive: straight back to the gate, not by way of cheroot's own list of idle connections."""
        if self.ready:
            self.gate.keep(conn)
        else:
            conn.close()

    @property
    def can_add_keepalive_connection(self) -> bool:
        return bool(self.ready)  # how many may wait is the gate's decision

    def hand_over(self, conn: Any) -> None:
        super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(level, "%s", msg, exc_info=traceback)


class _Tls(Adapter):
    """The handshake is left to the first read, which the gate does without blocking."""

    def __init__(self, certificate: str, key: str) -> None:
        super().__init__(certificate, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self.context.load_cert_chain(certificate, key)
        except OSError as error:
            raise EucaError(
                "config_invalid",
                f"The EC2 interface cannot use the certificate {certificate} with the key {key}: {error}.",
            ) from error

    def wrap(self, sock: Any) -> tuple[Any, Environ]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def bind(self, sock: Any) -> Any:
        return sock

    def get_environ(self) -> Environ:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        return makefile(sock, mode, bufsize)


def wsgi_app(endpoint: Endpoint) -> Callable[[Environ, Callable[..., Any]], Iterable[bytes]]:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ:
            response = Response(
                411, b"Send the body with a Content-Length.\n", "text/plain", (("Connection", "close"),)
            )
        else:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            body = environ["wsgi.input"].read(length) if length else b""
            target = environ["REQUEST_URI"]
            path, _, query = target.partition("?")
            headers = [
                (name[5:].replace("_", "-").lower(), value)
                for name, value in environ.items()
                if name.startswith("HTTP_")
            ]
            for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                if name in environ:
                    headers.append((name.replace("_", "-").lower(), environ[name]))
            response = endpoint.respond(
                Request(
                    environ["REQUEST_METHOD"],
                    path,
                    query,
                    tuple(headers),
                    body,
                    secure=environ["wsgi.url_scheme"] == "https",
                )
            )
        start_response(
            f"{response.status} {responses[response.status]}",
            [
                ("Content-Type", response.type),
                ("Content-Length", str(len(response.body))),
                ("Cache-Control", "no-store"),
                ("Date", _date(int(time.time()))),
                *response.headers,
            ],
        )
        return [response.body]

    return app


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class _Listener:
    def __init__(self, endpoint: Endpoint, port: int, *, tls: bool) -> None:
        settings = endpoint.settings
        self.server = _Server(
            (settings.host, port),
            wsgi_app(endpoint),
            numthreads=settings.threads,
            server_name="euca",
            request_queue_size=1024,
            timeout=math.ceil(settings.request_seconds),
            shutdown_timeout=5,
        )
        self.server.max_request_header_size = MAX_HEAD
        self.server.expiration_interval = (
            0.2  # seconds between looks at idle connections, and at a request to stop
        )
        self.server.max_request_body_size = MAX_BODY
        self.server.keep_alive_conn_limit = 256
        self.server.gate = Gate(
            self.server.hand_over, settings.request_seconds, settings.answer_seconds, settings.idle_seconds
        )
        if tls:
            self.server.ssl_adapter = _Tls(settings.certificate, settings.key)
        try:
            self.server.prepare()
        except OSError as error:
            raise EucaError(
                "config_invalid", f"The EC2 interface cannot listen on {settings.host}:{port}: {error}."
            ) from error
        self.port: int = self.server.bind_addr[1]
        self.thread = threading.Thread(target=self.server.serve, name=f"ec2-{self.port}", daemon=True)

    def start(self) -> None:
        self.server.gate.start()
        self.thread.start()

    def stop(self) -> None:
        self.server.stop()
        self.server.gate.stop()
        if self.thread.is_alive():
            self.thread.join(5)


class Ec2Interface:
    """`nouns.Interface`: http on `port`, https on `https_port` if set."""

    name = "ec2"

    def __init__(self, core: Core, settings: Ec2Settings) -> None:
        self.settings = settings
        self.endpoint = Endpoint(core, settings)
        self.port = settings.port
        self.https_port: int | None = None
        self._listeners: list[_Listener] = []

    def start(self) -> None:
        """Serves when it returns, or has left nothing behind."""
        try:
            self._listeners.append(_Listener(self.endpoint, self.settings.port, tls=False))
            self.port = self._listeners[0].port
            if self.settings.https_port >= 0:
                self._listeners.append(_Listener(self.endpoint, self.settings.https_port, tls=True))
                self.https_port = self._listeners[1].port
        except BaseException:
            self.stop()
            raise
        for listener in self._listeners:
            listener.start()
        if not _is_loopback(self.settings.host):
            log.warning(
                "plain http is served on %s:%d: private keys of CreateKeyPair cross the network in the clear",
                self.settings.host,
                self.port,
            )

    def stop(self) -> None:
        while self._listeners:
            self._listeners.pop().stop()
        self.endpoint.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
