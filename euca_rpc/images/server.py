"""The image server: content-addressed blobs over HTTPS, in a process apart from the control plane.

    GET, HEAD /blobs/SHA256    a node, with a fetch ticket for this blob and its own certificate's name; ranges
    PUT       /blobs?format=&kind=&architecture=     an administrator; a node with a store ticket for the one image that it
                               makes; the cloud controller with an upload ticket, for what comes through a page; answers
                               with a receipt
    GET, HEAD /uploads/NAME    the first two: how much of an interrupted upload is here (Euca-Offset)
    DELETE    /blobs/SHA256    an administrator or the cloud controller, with a forget ticket
    GET       /hello           any role

Who asks is what the certificate proves, what they may have is what a ticket of the cloud controller says; this
process knows neither instances nor images and asks nobody.  What is uploaded is inspected before it becomes a blob,
and the receipt is the only thing the cloud controller believes when the image is registered.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from http.client import responses
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from euca_rpc.clock import HOUR, Clock
from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import status_of
from euca_rpc.images import tickets
from euca_rpc.images.blobs import Blobs, Upload
from euca_rpc.images.inspection import check_declared, inspect
from euca_rpc.images.porch import PorchServer
from euca_rpc.images.qcow2 import USUAL, Limits
from euca_rpc.images.ranges import byte_range, content_begin
from euca_rpc.wire.contracts import ADMIN, CLOUD, NODE

RECEIPT_LASTS = HOUR
NODES_RECEIPT_LASTS = 24 * HOUR  # it waits with the node until the cloud controller asks
PIECE = 64 << 10  # what the watchdog sees move at once: small enough for slow links
LINGER = 1.0  # seconds
DRAINED = 8 << 20  # of a body nobody wants, so that its sender gets to read the answer

Environ = dict[str, Any]
Respond = Callable[[str, list[tuple[str, str]]], Any]


class PeerLike(Protocol):
    """What a certificate says; `wire.pki.PeerName` is one."""

    @property
    def role(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def host(self) -> str: ...


def ticket_name(peer: PeerLike) -> str:
    """What a fetch ticket names its bearer by."""
    return f"{peer.role}/{peer.zone}/{peer.host}"


class ImageServer:
    """``peer_of`` reads a certificate and may refuse it (revoked, another cloud's) with an EucaError."""

    def __init__(
        self,
        blobs: Blobs,
        context: ssl.SSLContext,
        peer_of: Callable[[bytes], PeerLike],
        ticket_key: bytes,
        host: str,
        port: int,
        clock: Clock,
        limits: Limits = USUAL,
        threads: int = 16,
    ) -> None:
        if context.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("the image server's TLS context must require certificates")
        self._blobs = blobs
        self._peer_of = peer_of
        self._key = ticket_key
        self._clock = clock
        self._limits = limits
        self._uploading: set[str] = set()
        self._lock = threading.Lock()
        self._server = PorchServer((host, port), self._application, context, self._admit, threads)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return int(self._server.bind_addr[1])

    def start(self) -> None:
        """Listening when it returns; raises OSError if the port is taken."""
        self._server.prepare()
        self._thread = threading.Thread(target=self._server.serve, name="images", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join(10)

    def _admit(self, der: bytes) -> Environ:
        try:
            return {"euca.peer": self._peer_of(der)}
        except EucaError as error:  # told in an answer, which explains more than a closed connection
            return {"euca.refusal": error}
        except Exception as error:
            return {
                "euca.refusal": EucaError(
                    "role_refused", "The certificate cannot be read.", private=str(error)
                )
            }

    # ----------------------------------------------------------------------------------------------- requests
    def _application(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        try:
            return self._route(environ, respond)
        except EucaError as error:
            return self._refuse(environ, respond, error)
        except Exception as error:
            return self._refuse(
                environ, respond, EucaError("internal", "The image server failed.", private=str(error))
            )

    def _route(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        if "euca.refusal" in environ:
            # a new one each time: an exception that is raised again gathers tracebacks
            raise EucaError.from_wire(environ["euca.refusal"].to_wire())
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        match [method, *path.split("/")[1:]]:
            case ["GET", "hello"]:
                return _json(respond, "200 OK", {"role": "images", "name": "euca.images"})
            case ["GET" | "HEAD", "blobs", sha256]:
                return self._get(environ, respond, sha256)
            case ["PUT", "blobs"]:
                return self._put(environ, respond)
            case ["GET" | "HEAD", "uploads", name]:
                self._uploader(environ, name)
                respond("200 OK", [("Euca-Offset", str(self._blobs.offset(name))), ("Content-Length", "0")])
                return []
            case ["DELETE", "blobs", sha256]:
                self._require(environ, ADMIN, CLOUD)
                self._ticket(environ, tickets.FORGET, {"sha256": sha256})
                return _json(respond, "200 OK", {"deleted": self._blobs.delete(sha256)})
        raise EucaError("action_unknown", f"The image server knows no {method[:10]} {path[:100]}.")

    def _require(self, environ: Environ, *roles: str) -> PeerLike:
        peer: PeerLike = environ["euca.peer"]
        if peer.role not in roles:
            raise EucaError(
                "role_refused",
                f"This is for the role {' or '.join(roles)}; the certificate shown is of {ticket_name(peer)}.",
            )
        return peer

    def _ticket(self, environ: Environ, purpose: str, wanted: dict[str, str]) -> tickets.Facts:
        facts = tickets.check(self._key, environ.get("HTTP_EUCA_TICKET", ""), purpose, self._clock.wall())
        for name, value in wanted.items():
            if facts.get(name) != value:
                raise EucaError("denied", f"The ticket is for another {name} than {value[:100]!r}.")
        return facts

    def _uploader(self, environ: Environ, name: str) -> tickets.Facts | None:
        """None for an administrator; what a node's ticket lets it store, under names that begin with the image's.  What
        the cloud controller passes on has no name and is not resumed: it comes from a browser, which could not either."""
        peer: PeerLike = environ["euca.peer"]
        if peer.role == CLOUD and environ["REQUEST_METHOD"] == "PUT" and "HTTP_EUCA_UPLOAD" not in environ:
            return None
        if peer.role != NODE:
            self._require(environ, ADMIN)
            return None
        facts = self._ticket(environ, tickets.STORE, {"node": ticket_name(peer)})
        if not name.startswith(f"{facts['image_id']}-"):
            raise EucaError(
                "denied", f"The ticket is for uploads of {facts['image_id']}, not for {name[:64]!r}."
            )
        return facts

    # -------------------------------------------------------------------------------------------------- fetch
    def _get(self, environ: Environ, respond: Respond, sha256: str) -> Iterable[bytes]:
        peer = self._require(environ, NODE)
        self._ticket(environ, tickets.FETCH, {"sha256": sha256, "node": ticket_name(peer)})
        path = self._blobs.path(sha256)
        size = path.stat().st_size
        headers = [
            ("Accept-Ranges", "bytes"),
            ("Content-Type", "application/octet-stream"),
            ("ETag", f'"{sha256}"'),
        ]
        wanted = byte_range(environ.get("HTTP_RANGE", ""), size)
        if wanted is None:
            begin, end, status = 0, size, "200 OK"
        else:
            begin, end = wanted
            if begin >= end:
                respond(
                    "416 Range Not Satisfiable",
                    [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")],
                )
                return []
            status = "206 Partial Content"
            headers.append(("Content-Range", f"bytes {begin}-{end - 1}/{size}"))
        respond(status, [*headers, ("Content-Length", str(end - begin))])
        return (
            [] if environ["REQUEST_METHOD"] == "HEAD" else _read(path, begin, end, environ["euca.connection"])
        )

    # ------------------------------------------------------------------------------------------------- upload
    def _put(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        name = environ.get("HTTP_EUCA_UPLOAD") or f"once-{threading.get_ident()}-{self._clock.monotonic()}"
        store = self._uploader(environ, name)
        query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        format, kind, architecture = (query.get(name, "") for name in ("format", "kind", "architecture"))
        check_declared(format, kind, architecture)
        if store is not None and (kind, architecture) != ("machine", store["architecture"]):
            raise EucaError("denied", f"The ticket is for a machine image of {store['architecture']}.")
        try:
            length = int(environ.get("CONTENT_LENGTH") or "")
        except ValueError:
            raise EucaError("parameter_missing", "An upload needs a Content-Length.") from None
        if environ["euca.peer"].role == CLOUD:
            declared = {"format": format, "kind": kind, "architecture": architecture}
            if self._ticket(environ, tickets.UPLOAD, declared)["bytes"] != length:
                raise EucaError("denied", f"The ticket is not for {length} bytes.")
        with self._lock:
            if name in self._uploading:
                raise EucaError(
                    "state_conflict", f"The upload {name[:64]!r} is under way over another connection."
                )
            self._uploading.add(name)
        try:
            upload = self._blobs.upload(name)
            try:
                receipt = self._receive(environ, upload, length, (format, kind, architecture), store)
            except EucaError as error:
                if error.symbol == "image_refused":  # of no use to resume
                    upload.discard()
                raise
            finally:
                upload.close()
                if not environ.get("HTTP_EUCA_UPLOAD"):
                    upload.discard()
        finally:
            with self._lock:
                self._uploading.discard(name)
        return _json(respond, "200 OK", receipt)

    def _receive(
        self,
        environ: Environ,
        upload: Upload,
        length: int,
        declared: tuple[str, str, str],
        store: tickets.Facts | None,
    ) -> Environ:
        begin = content_begin(environ.get("HTTP_CONTENT_RANGE", ""))
        if begin != upload.bytes:
            raise EucaError(
                "state_conflict",
                f"The upload goes on at byte {upload.bytes}, not at {begin}. Ask HEAD /uploads/NAME first.",
                facts={"offset": upload.bytes},
            )
        limit = self._limits.bytes
        if begin + length > limit:
            raise EucaError(
                "image_refused",
                f"The image has {begin + length} bytes and may have {limit}. Shrink it, or raise [images] largest_gb.",
            )
        if store is not None and begin + length > int(store["most_bytes"]):
            raise EucaError(
                "image_refused",
                f"The image has {begin + length} bytes; its ticket allows {store['most_bytes']}, the disk in full.",
            )
        stream, connection = environ["wsgi.input"], environ["euca.connection"]
        left = length
        while left:
            chunk = stream.read(min(PIECE, left))
            if not chunk:
                raise EucaError(
                    "parameter_invalid", f"The connection ended {left} bytes early; resume the upload."
                )
            upload.write(chunk, limit)
            left -= len(chunk)
            connection.moved += len(chunk)
        connection.busy = True
        upload.complete(environ.get("HTTP_EUCA_SHA256") or None)
        found = inspect(upload.part, *declared, self._limits)
        facts: dict[str, str | int] = {
            "sha256": upload.sha256,
            "bytes": found.bytes,
            "virtual_bytes": found.virtual_bytes,
            "format": found.format,
            "kind": found.kind,
            "architecture": found.architecture,
        }
        lasts = RECEIPT_LASTS
        if store is not None:
            facts["image_id"], lasts = store["image_id"], NODES_RECEIPT_LASTS
        self._blobs.adopt(upload.part, upload.sha256)
        return {
            **facts,
            "ticket": tickets.issue(self._key, tickets.RECEIPT, facts, self._clock.wall() + lasts),
        }

    def _refuse(self, environ: Environ, respond: Respond, error: EucaError) -> Iterable[bytes]:
        status = f"{status_of(error)} {responses[status_of(error)]}"
        yield from _json(respond, status, error.to_wire(), ("Connection", "close"))
        # The answer is out.  What is still being sent is taken for a moment: hanging up on it would reset the
        # connection, and the answer would be lost with it.
        environ["euca.connection"].take_leave(LINGER)
        try:
            left = min(int(environ.get("CONTENT_LENGTH") or 0), DRAINED)
            while left > 0 and (chunk := environ["wsgi.input"].read(min(PIECE, left))):
                left -= len(chunk)
        except (OSError, ValueError):
            return


def _json(respond: Respond, status: str, value: Environ, *headers: tuple[str, str]) -> list[bytes]:
    body = json.dumps(value).encode() + b"\n"
    respond(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
    return [body]


def _read(path: Path, begin: int, end: int, connection: Any) -> Iterator[bytes]:
    with path.open("rb") as blob:
        blob.seek(begin)
        while begin < end and (chunk := blob.read(min(PIECE, end - begin))):
            yield chunk  # comes back when it was sent
            begin += len(chunk)
            connection.moved += len(chunk)
