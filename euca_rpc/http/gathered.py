"""A connection as cheroot sees it behind the gate: only bytes that have come, and answers that leave in one piece."""

from __future__ import annotations

import io
import re
import socket
from typing import Any

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} [^\r\n]+ HTTP/1\.[01]\r\n")


class Gathered:
    """What cheroot reads from: only bytes that have already come."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.bytes_read = 0
        self.closed = False  # asked for by cheroot when it stops
        self.continued = False  # 100 Continue was sent for the request being gathered

    def readline(self, size: int | None = None) -> bytes:
        end = self.buffer.find(b"\n") + 1 or len(self.buffer)
        return self._take(end if size is None or size < 0 else min(end, size))

    def read(self, size: int | None = None) -> bytes:
        return self._take(len(self.buffer) if size is None or size < 0 else size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        self.bytes_read += len(taken)
        return taken

    def has_data(self) -> bool:
        return bool(self.buffer)

    def close(self) -> None:
        self.closed = True
        self.buffer.clear()

    def ready(self) -> bool:
        """Is a whole request here, or enough to know that there will be none?"""
        head = self.buffer.find(b"\r\n\r\n", 0, MAX_HEAD + 4)
        if head < 0:
            line = self.buffer.find(b"\r\n")
            return len(self.buffer) > MAX_HEAD or (line > 0 and not _REQUEST_LINE.match(self.buffer))
        lengths = _LENGTH.findall(self.buffer, 0, head + 2)
        if len(lengths) != 1 or _CHUNKED.search(self.buffer, 0, head + 2):
            return True
        wanted = int(lengths[0])
        return wanted > MAX_BODY or len(self.buffer) >= head + 4 + wanted

    def expects(self) -> bool:
        """Does the client wait for 100 Continue before it sends the body?"""
        return not self.continued and _EXPECT.search(self.buffer) is not None


class Written(io.RawIOBase):
    """What cheroot writes to: small writes are gathered, so that head and body of an answer leave together."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.bytes_written = 0
        self._held = b""

    def write(self, data: Any) -> int:
        if len(self._held) + len(data) <= 65536:
            self._held += data
        else:
            self.flush()
            self.socket.sendall(data)
        self.bytes_written += len(data)
        return len(data)

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self.socket.sendall(held)


def makefile(sock: socket.socket, mode: str = "rb", _size: int = -1) -> Gathered | Written:
    return Gathered() if "r" in mode else Written(sock)
