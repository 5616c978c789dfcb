"""A WSGI application on a port of its own: cheroot with its own threads, behind the gate.

What an interface plugin needs to serve HTTP, and no more: 64 KiB of head, 1 MiB of body (but for what flows), a time for
the request and one for the answer.  A listener serves http, or https if it is given a certificate.
"""

from __future__ import annotations

import logging
import math
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from cheroot import server as cheroot_server
from cheroot import wsgi
from cheroot.ssl import Adapter

from euca_rpc.errors import EucaError
from euca_rpc.http import ordinary
from euca_rpc.http.flow import Body, Flow, Flowing
from euca_rpc.http.gate import Gate
from euca_rpc.http.gathered import MAX_BODY, MAX_HEAD, makefile
from euca_rpc.http.head import Headers
from euca_rpc.steps import waited

log = logging.getLogger("euca.http")
Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds."""

    request: float = 10.0  # within which a request must have arrived
    answer: float = 60.0  # … and its answer must be worked out and taken
    idle: float = 75.0  # that a connection which was answered may rest


class _HttpRequest(cheroot_server.HTTPRequest):
    header_reader = Headers()

    def parse_request(self) -> None:
        super().parse_request()
        if isinstance(self.conn.rfile, Body):  # what of it is not read is nobody's next request
            self.close_connection = True

    def respond(self) -> None:
        super().respond()
        self.conn.wfile.flush()

    def simple_response(self, status: Any, msg: str = "") -> None:
        """cheroot's own refusals: with a Date, and the connection closed, because its state is unknown.  A protocol or
        an encoding that is not spoken here is the client's doing; told 505 or 501, SDKs would try again."""
        self.close_connection = True
        if str(status).startswith(("501", "505")):
            status, msg = "400 Bad Request", msg or "Send HTTP/1.1 without a Transfer-Encoding."
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
        self.asked: ordinary.Ordinary | None = None  # the request that the gate has read already
        self.heard = self.fd = 0  # what the gate is told of it, and by which descriptor

    def communicate(self) -> bool:
        gate: Gate = self.server.gate
        try:
            gate.working(self)
            return self._answer()
        finally:
            gate.done(self)

    def _answer(self) -> bool:
        """Whether the connection may be kept."""
        server: _Server = self.server
        asked, self.asked = self.asked, None
        if asked is None or server.direct is None:
            return bool(super().communicate())  # type: ignore[no-untyped-call]
        try:
            reply = waited(server.direct.answer(asked))
            self.wfile.write(ordinary.written(reply, server.server_name, not server.ready))
            self.wfile.flush()
        except OSError:  # the client went away, or took too long
            return False
        except Exception:
            log.exception("a request was not answered")
            return False
        return bool(server.ready)


class _Server(wsgi.Server):
    ConnectionClass = _Connection
    gate: Gate
    direct: ordinary.Direct | None = None

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

    def clear_stats(self) -> None:
        """cheroot would enter its figures in a table of the process, which keeps every server that ever was."""
        super().clear_stats()  # type: ignore[no-untyped-call]
        logging.statistics.pop(f"Cheroot HTTPServer {id(self)}", None)  # type: ignore[attr-defined]

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(level, "%s", msg, exc_info=traceback)


class _Tls(Adapter):
    """The handshake is left to the first read, which the gate does without blocking."""

    def __init__(self, whose: str, certificate: str, key: str) -> None:
        super().__init__(certificate, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self.context.load_cert_chain(certificate, key)
        except OSError as error:
            raise EucaError(
                "config_invalid",
                f"{whose} cannot use the certificate {certificate} with the key {key}: {error}.",
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


class Listener:
    """``whose`` begins the sentence of a refusal: "The EC2 interface"."""

    def __init__(
        self,
        whose: str,
        application: Application,
        address: tuple[str, int],
        threads: int,
        patience: Patience,
        certificate: tuple[str, str] | None = None,
        direct: ordinary.Direct | None = None,
        flowing: Flowing | None = None,
    ) -> None:
        """``address``: host and port, 0 = any free one; ``certificate``: PEM files of the certificate and its key;
        ``direct``: the same application without WSGI, for ordinary requests; ``flowing``: where larger bodies go."""
        host, port = address
        self.server = _Server(
            address,
            application,
            numthreads=threads,
            server_name="euca",
            request_queue_size=1024,
            timeout=math.ceil(patience.request),
            shutdown_timeout=5,
        )
        self.server.direct = direct
        self.server.max_request_header_size = MAX_HEAD
        self.server.expiration_interval = (
            0.2  # seconds between looks at idle connections, and at a request to stop
        )
        self.server.max_request_body_size = MAX_BODY
        self.server.keep_alive_conn_limit = 256
        self._flow = (
            Flow(self.server, cheroot_server.HTTPConnection.communicate, flowing) if flowing else None
        )
        waits = (patience.request, patience.answer, patience.idle)
        self.server.gate = Gate(self.server.hand_over, *waits, self._flow, direct, threads)
        if certificate is not None:
            self.server.ssl_adapter = _Tls(whose, *certificate)
        try:
            self.server.prepare()
        except OSError as error:
            raise EucaError("config_invalid", f"{whose} cannot listen on {host}:{port}: {error}.") from error
        self.port: int = self.server.bind_addr[1]
        self.thread = threading.Thread(target=self.server.serve, name=f"http-{self.port}", daemon=True)

    def start(self) -> None:
        self.server.gate.start()
        self.thread.start()

    def stop(self) -> None:
        self.server.stop()
        self.server.gate.stop()
        if self._flow is not None:
            self._flow.stop()
        if self.thread.is_alive():
            self.thread.join(5)
