"""The endpoint as a WSGI application, and the interface that serves it: http and, if wanted, https on a port of its own
share one `Endpoint`.  Plain http off loopback is the site's decision: the answer to CreateKeyPair is a private key, so
the log says it at start.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from typing import Any

from euca_rpc.http.listener import Application, Environ, Listener, Patience
from euca_rpc.http.ordinary import Direct, Ordinary, Reply
from euca_rpc.nouns import Core
from euca_rpc.steps import Steps

from .endpoint import Endpoint, Response
from .request import Request
from .settings import Ec2Settings

log = logging.getLogger("euca.ec2")


def wsgi_app(endpoint: Endpoint) -> Application:
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
        start_response(f"{response.status} {responses[response.status]}", _headers(response))
        return [response.body]

    return app


def direct_app(endpoint: Endpoint) -> Direct:
    """The same without WSGI, for ordinary requests."""

    def answer(asked: Ordinary) -> Steps[Reply]:
        path, _, query = asked.target.partition("?")
        request = Request(asked.method, path, query, asked.headers, asked.body, secure=asked.secure)
        response = yield from endpoint.responding(request)
        return Reply(response.status, tuple(_headers(response)), response.body)

    return Direct(answer, _brief)


# Whatever is answered from the view, and launches, which wait for nothing but their commit.  Not said by the signature:
# whoever makes another request look like one of these has it answered by another thread, and that is all.
_BRIEF = re.compile(rb"Action=(?:Describe|RunInstances(?:&|$)|GetCallerIdentity)")
_BRIEF_SOAP = re.compile(
    rb"<(?:[\w.-]{1,30}:)?Body(?:\s[^<>]{0,500})?>\s{0,50}<(?:[\w.-]{1,30}:)?(?:Describe|RunInstances[\s>])"
)
_LOOK = 64 * 1024  # bytes from the beginning


def _brief(asked: Ordinary) -> bool:
    said = asked.body or asked.target.encode()
    return (_BRIEF_SOAP if said.startswith(b"<") else _BRIEF).search(said, 0, _LOOK) is not None


def _headers(response: Response) -> list[tuple[str, str]]:
    return [
        ("Content-Type", response.type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        ("Date", _date(int(time.time()))),
        *response.headers,
    ]


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Ec2Interface:
    """`nouns.Interface`: http on `port`, https on `https_port` if set."""

    name = "ec2"

    def __init__(self, core: Core, settings: Ec2Settings) -> None:
        self.settings = settings
        self.endpoint = Endpoint(core, settings)
        self.port = settings.port
        self.https_port: int | None = None
        self._listeners: list[Listener] = []

    def start(self) -> None:
        """Serves when it returns, or has left nothing behind."""
        try:
            self._listeners.append(self._listener(self.settings.port))
            self.port = self._listeners[0].port
            if self.settings.https_port >= 0:
                pair = (self.settings.certificate, self.settings.key)
                self._listeners.append(self._listener(self.settings.https_port, pair))
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

    def _listener(self, port: int, certificate: tuple[str, str] | None = None) -> Listener:
        said = self.settings
        patience = Patience(said.request_seconds, said.answer_seconds, said.idle_seconds)
        return Listener(
            "The EC2 interface",
            wsgi_app(self.endpoint),
            (said.host, port),
            said.threads,
            patience,
            certificate,
            direct_app(self.endpoint),
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
