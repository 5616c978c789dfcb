"""The other end of `images.server`: an administrator's or a node's upload and a node's download, resumed where they broke
off; what is passed on from a page, and what is forgotten.

Each compares the server's certificate with what was asked for: the TLS context only says "somebody of this cloud".
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from euca_rpc.errors import EucaError
from euca_rpc.images.blobs import CHUNK, disk_trouble, sync_directory
from euca_rpc.machines import BlobRef, CaptureOrder
from euca_rpc.wire.contracts import IMAGES
from euca_rpc.wire.pki import read_certificate

TIMEOUT = 30.0  # seconds without a byte
INSPECTED = 600.0  # seconds until an image is on the disk and was looked at, all its bytes being there
ATTEMPTS = 5  # in a row without progress

Progress = Callable[[int, int], None]  # bytes done, bytes in all
CheckServer = Callable[[bytes], None]


def is_image_server(der: bytes) -> None:
    name = read_certificate(der).name
    if name.role != IMAGES:
        raise EucaError("role_refused", f"The image server was asked for, and the {name.text} answered.")


def upload(
    base_url: str,
    context: ssl.SSLContext,
    path: Path,
    format: str,
    kind: str,
    architecture: str,
    progress: Progress = lambda done, of: None,
    check_server: CheckServer = is_image_server,
) -> dict[str, Any]:
    """Send a file; the receipt (facts and ``ticket``) that registering the image asks for."""
    sha256, size = hash_file(path)
    # The same file declared the same way continues where an earlier attempt ended.
    declared = f"{sha256} {format} {kind} {architecture}"
    name = hashlib.sha256(declared.encode()).hexdigest()
    sent = _Sent(path, sha256, size, name, format, kind, architecture)
    return _upload(base_url, context, sent, progress, check_server)


def store(
    order: CaptureOrder,
    path: Path,
    format: str,
    context: ssl.SSLContext,
    check_server: CheckServer = is_image_server,
) -> str:
    """A node's upload of the one image that the order's ticket names; the ticket of the receipt."""
    sha256, size = hash_file(path)
    name = f"{order.image_id}-{sha256[:32]}"  # another copy of the disk is another upload
    sent = _Sent(path, sha256, size, name, format, "machine", order.architecture, order.ticket)
    try:
        return str(_upload(order.url, context, sent, lambda done, of: None, check_server)["ticket"])
    except EucaError as error:
        if error.symbol != "state_conflict":
            raise
        # an earlier attempt is still under way there, over a connection that nobody ends: the next one finds out
        raise EucaError("unavailable", error.sentence) from None


def pass_on(
    base_url: str,
    context: ssl.SSLContext,
    ticket: str,
    declared: tuple[str, str, str],
    size: int,
    chunks: Iterable[bytes],
    check_server: CheckServer = is_image_server,
) -> str:
    """Send ``size`` bytes as they come, once, declared as format, kind and architecture; the ticket of the receipt.  What
    ``chunks`` raises goes through, and nothing of the image is kept then."""
    query = urlencode(dict(zip(("format", "kind", "architecture"), declared, strict=True)))
    headers = {"Euca-Ticket": ticket, "Content-Length": str(size)}
    try:
        with _Connection(base_url, context, check_server) as server:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                server.request("PUT", f"/blobs?{query}", chunks, headers)
            if server.sock is not None:
                server.sock.settimeout(INSPECTED)
            return str(json.loads(_answer(server)[1])["ticket"])
    except (OSError, http.client.HTTPException) as error:
        raise _lost(base_url, error) from error


def forget(
    base_url: str,
    context: ssl.SSLContext,
    sha256: str,
    ticket: str,
    check_server: CheckServer = is_image_server,
) -> None:
    """Have the bytes deleted.  They are no image's any more, so a failure costs room on the disk and nothing else."""
    try:
        with _Connection(base_url, context, check_server) as server:
            server.request("DELETE", f"/blobs/{sha256}", headers={"Euca-Ticket": ticket})
            _answer(server)
    except (OSError, http.client.HTTPException) as error:
        raise _lost(base_url, error) from error


@dataclass(frozen=True, slots=True)
class _Sent:
    """A file on its way, and what it is declared to be."""

    path: Path
    sha256: str
    size: int
    name: str  # of the upload
    format: str
    kind: str
    architecture: str
    ticket: str = ""


def _upload(
    base_url: str, context: ssl.SSLContext, sent: _Sent, progress: Progress, check_server: CheckServer
) -> dict[str, Any]:
    path, sha256, size, name = sent.path, sent.sha256, sent.size, sent.name
    format, kind, architecture = sent.format, sent.kind, sent.architecture
    ticket = {"Euca-Ticket": sent.ticket} if sent.ticket else {}
    query = urlencode({"format": format, "kind": kind, "architecture": architecture})
    failures, reached = 0, -1
    while True:
        try:
            with _Connection(base_url, context, check_server) as server:
                server.request("GET", f"/uploads/{name}", headers=ticket)  # a HEAD's refusal has no words
                begin = int(_answer(server)[0].headers.get("Euca-Offset", "0"))
        except OSError as error:
            raise _lost(base_url, error) from error
        if begin <= reached:
            failures += 1
        reached = max(begin, reached)
        try:
            with _Connection(base_url, context, check_server) as server:
                headers = {"Euca-Upload": name, "Euca-Sha256": sha256, **ticket}
                headers["Content-Length"] = str(size - begin)
                if 0 < begin < size:
                    headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
                elif begin:
                    headers["Content-Range"] = f"bytes {begin}-{begin}/{size}"
                # It may refuse us in the middle and hang up: then its answer is there and says why.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    server.request("PUT", f"/blobs?{query}", _chunks(path, begin, size, progress), headers)
                receipt: dict[str, Any] = json.loads(_answer(server)[1])
                return receipt
        except (OSError, http.client.HTTPException) as error:
            if failures >= ATTEMPTS:
                raise _lost(base_url, error) from error


def download(
    ref: BlobRef,
    context: ssl.SSLContext,
    to: Path,
    progress: Progress | None = None,
    check_server: CheckServer = is_image_server,
) -> None:
    """``to`` appears when all bytes are there and have the right SHA-256; until then they gather in ``to.part``."""
    part = to.with_name(to.name + ".part")
    seen = hashlib.sha256()
    done = 0
    with part.open("a+b") as file:
        file.seek(0)
        while chunk := file.read(CHUNK):  # of an interrupted download
            seen.update(chunk)
            done += len(chunk)
        failures = 0
        while done < ref.bytes:
            before = done
            try:
                for chunk in _pull(ref, context, done, check_server):
                    if done + len(chunk) > ref.bytes:
                        part.unlink(missing_ok=True)
                        raise EucaError(
                            "image_refused", f"The image server sends more than {ref.bytes} bytes."
                        )
                    try:
                        file.write(chunk)
                    except OSError as error:
                        raise disk_trouble(to, error) from error
                    seen.update(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, ref.bytes)
            except (OSError, http.client.HTTPException) as error:
                failures = 0 if done > before else failures + 1
                if failures >= ATTEMPTS:
                    raise _lost(ref.url, error) from error
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise disk_trouble(to, error) from error
    if done != ref.bytes or seen.hexdigest() != ref.sha256:
        part.unlink(missing_ok=True)
        raise EucaError(
            "image_refused",
            f"{done} bytes of image {ref.image_id} arrived with the SHA-256 {seen.hexdigest()}; {ref.bytes} bytes with "
            f"{ref.sha256} were promised. They were thrown away; the next attempt fetches all of them again.",
            facts={"image_id": ref.image_id},
        )
    part.chmod(0o444)
    part.replace(to)
    sync_directory(to.parent)


def hash_file(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


# -------------------------------------------------------------------------------------------------------- details
class _Connection(http.client.HTTPSConnection):
    def __init__(self, url: str, context: ssl.SSLContext, check_server: CheckServer) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname is None:
            raise EucaError(
                "parameter_invalid", f"An image server's address looks like https://HOST:PORT, not {url!r}."
            )
        super().__init__(parts.hostname, parts.port or 443, timeout=TIMEOUT, context=context)
        self._check_server = check_server

    def connect(self) -> None:
        super().connect()
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._check_server(self.sock.getpeercert(binary_form=True) or b"")

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answer(server: _Connection) -> tuple[http.client.HTTPResponse, bytes]:
    """Response and body of a short answer; a refusal is raised as the error it is."""
    response = server.getresponse()
    body = response.read(1 << 20)
    if response.status >= 300:
        raise _refusal(response.status, body)
    return response, body


def _refusal(status: int, body: bytes) -> EucaError:
    try:
        return EucaError.from_wire(json.loads(body))
    except (ValueError, AttributeError):
        return EucaError("unavailable", f"The image server answered with status {status}.")


def _pull(ref: BlobRef, context: ssl.SSLContext, begin: int, check_server: CheckServer) -> Iterator[bytes]:
    with _Connection(ref.url, context, check_server) as server:
        headers = {"Euca-Ticket": ref.ticket}
        if begin:
            headers["Range"] = f"bytes={begin}-"
        server.request("GET", urlsplit(ref.url).path, headers=headers)
        response = server.getresponse()
        if response.status >= 300:
            raise _refusal(response.status, response.read(1 << 20))
        if begin and response.status != 206:
            raise EucaError("unavailable", "The image server ignored the range that was asked for.")
        while chunk := response.read(CHUNK):
            yield chunk
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)


def _chunks(path: Path, begin: int, size: int, progress: Progress) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while begin < size and (chunk := file.read(min(CHUNK, size - begin))):
            yield chunk
            begin += len(chunk)
            progress(begin, size)


def _lost(url: str, error: Exception) -> EucaError:
    parts = urlsplit(url)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return EucaError(
        "unreachable", f"The image server at {parts.hostname}:{parts.port} does not answer: {reason}"
    )
