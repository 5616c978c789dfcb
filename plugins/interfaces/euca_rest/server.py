"""The endpoint on a port of its own: one asyncio thread reads and writes, a few threads work.

    accepted ─► handshake ─► head, body gathered ──whole──► worker thread: Endpoint.respond ─► written ─► again
                 each with a deadline, none of which costs a worker

So a client that drips, stays silent or does not take its answer holds a connection for a while, and nothing else.  This
module owns the threads.  Plain http carries secrets in the clear and is served on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.client import responses

from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import Refused
from euca_rpc.nouns import Core

from .endpoint import Endpoint, Request, Response
from .head import MOST_HEAD, Head, parse
from .settings import RestSettings

MOST_OPEN = 512  # connections; beyond that the one that has waited longest for its client goes
LINGER = 1.0  # seconds in which what a refused client still sends is taken, so that it can read why
log = logging.getLogger("euca.rest")


class RestInterface:
    """`nouns.Interface`."""

    name = "rest"

    def __init__(self, core: Core, settings: RestSettings) -> None:
        self.settings = settings
        self.endpoint = Endpoint(core, settings)
        self.port = settings.port
        self._stop: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.settings.certificate else 'http'}://{self.settings.host}:{self.port}"

    def start(self) -> None:
        """Serves when it returns, or has left nothing behind."""
        tls = _tls(self.settings)
        listener = _listener(self.settings)
        self.port = listener.getsockname()[1]
        serving = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run,
            args=(self._serve(listener, tls, serving),),
            name=f"rest-{self.port}",
            daemon=True,
        )
        self._thread.start()
        serving.wait(10)

    def stop(self) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join(10)

    async def _serve(
        self, listener: socket.socket, tls: ssl.SSLContext | None, serving: threading.Event
    ) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(over.set)

        self._stop = stop
        with ThreadPoolExecutor(self.settings.threads, f"rest-{self.port}") as pool:
            room = _Connections(self.endpoint, self.settings, pool)
            server = await asyncio.start_server(
                room.serve,
                sock=listener,
                limit=MOST_HEAD,
                backlog=1024,
                ssl=tls,
                ssl_handshake_timeout=self.settings.request_seconds if tls else None,
            )
            serving.set()
            await over.wait()
            # Nobody more is accepted; who just was must get his task before the server is closed, or is never found.
            loop.remove_reader(listener)
            await asyncio.sleep(0.05)
            server.close()
            await room.close()


class _Connections:
    def __init__(self, endpoint: Endpoint, settings: RestSettings, pool: ThreadPoolExecutor) -> None:
        self._endpoint, self._settings, self._pool = endpoint, settings, pool
        self._open: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], None] = {}  # for their clients; the longest first

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        if len(self._open) > MOST_OPEN and self._waiting:
            next(iter(self._waiting)).cancel()
        writer.transport.set_write_buffer_limits(high=0)  # drain: until all of it was taken
        try:
            if len(self._open) <= MOST_OPEN + 64:
                await self._talk(task, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, was too slow, or had to go
        except Exception:
            log.exception("a connection ends by an error")
        finally:
            self._open.discard(task)
            self._waiting.pop(task, None)
            writer.transport.abort()

    async def close(self) -> None:
        """Answers that are being worked out are not waited for longer than the rest of the process waits."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=2)

    async def _talk(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        patience = self._settings.request_seconds
        keep = True
        while keep:
            self._waiting[task] = None
            request = await self._receive(reader, writer, patience)
            self._waiting.pop(task)
            if request is None:
                return
            head, asked = request
            keep = head is not None and head.keep
            response = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._endpoint.respond, asked
            )
            async with asyncio.timeout(self._settings.answer_seconds):
                writer.write(_written(response, keep, bare=head is not None and head.method == "HEAD"))
                await writer.drain()
            patience = self._settings.idle_seconds
        await _take_leave(reader, writer)

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float
    ) -> tuple[Head | None, Request | Refused] | None:
        """A whole request; or a refusal, after which the state of the connection is unknown; None at its end."""
        first = b""
        try:
            async with asyncio.timeout(patience):
                first = await reader.read(1)
            if not first:
                return None
            async with asyncio.timeout(self._settings.request_seconds):
                head = parse(first + await reader.readuntil(b"\r\n\r\n"))
                if head.waits:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(head.length)
        except Refused as refusal:
            return None, refusal
        except asyncio.LimitOverrunError:
            return None, Refused(431, "parameter_invalid", f"The head is larger than {MOST_HEAD} bytes.")
        except TimeoutError:
            if not first:
                return None
            seconds = f"{self._settings.request_seconds:g}"
            return None, Refused(408, "parameter_invalid", f"The request did not come within {seconds} s.")
        return head, Request(head.method, head.path, head.query, head.headers, body)


async def _take_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closing a socket on which there is something unread takes the answer away from the client."""
    with contextlib.suppress(OSError, NotImplementedError):
        if writer.can_write_eof():
            writer.write_eof()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(LINGER):
            while await reader.read(65536):
                pass


def _written(response: Response, keep: bool, bare: bool = False) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {responses[response.status]}",
        f"Date: {formatdate(usegmt=True)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if response.status != 204:
        lines += [f"Content-Type: {response.type}", f"Content-Length: {len(response.body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if bare else response.body)


def _tls(settings: RestSettings) -> ssl.SSLContext | None:
    if not settings.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:
        raise EucaError(
            "config_invalid",
            f"The REST interface cannot use the certificate {settings.certificate} with the key {settings.key}: {error}.",
        ) from error
    return context


def _listener(settings: RestSettings) -> socket.socket:
    try:
        made = socket.create_server((settings.host, settings.port), backlog=1024)
    except OSError as error:
        raise EucaError(
            "config_invalid", f"The REST interface cannot listen on {settings.host}:{settings.port}: {error}."
        ) from error
    address = made.getsockname()[0]
    if not settings.certificate and not ipaddress.ip_address(address).is_loopback:
        made.close()
        raise EucaError(
            "config_invalid",
            f"The REST interface would send secrets in the clear on {address}: set 'certificate' and 'key' in"
            " [interface.rest], or let 'host' be a loopback address, with a TLS proxy in front of it.",
        )
    return made
