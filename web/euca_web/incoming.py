"""A form with a file, read as it comes: first the fields, which are small, then the file, which is held nowhere.

    --border, field, --border, field, … --border, head of the file │ its bytes, piece by piece │ --border--

The form's length says how long the file is, since nothing but the last border follows it; so it can be passed on before it
is all here.  A form that is not like that was not made by a page of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import parse_qsl

from euca_rpc.errors import EucaError

PIECE = 64 << 10
MOST_SMALL = 64 << 10  # bytes of all that is not the file
_BORDER = re.compile(r'multipart/form-data; *boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,70})"?', re.IGNORECASE)
_DISPOSITION = re.compile(
    rb'content-disposition: *form-data; *name="([^"\r\n]{1,100})"(; *filename="[^"\r\n]{0,1000}")?[^\r\n]*',
    re.IGNORECASE,
)


class Stream(Protocol):
    def read(self, size: int) -> bytes: ...


class Incoming:
    """The file of a form; ``size`` bytes, to be taken once."""

    def __init__(self, reader: _Reader, size: int, end: bytes) -> None:
        self._reader, self.size, self._end = reader, size, end

    def chunks(self) -> Iterator[bytes]:
        """The last piece is given only when the form ends behind it as it should."""
        left, held = self.size, b""
        while left:
            if held:
                yield held
            held = self._reader.some(min(PIECE, left))
            left -= len(held)
        if self._reader.exactly(len(self._end)) != self._end:
            raise _unlike("it does not end behind its file")
        yield held


def read_form(
    stream: Stream, content_type: str, length: int
) -> tuple[list[tuple[str, str]], Incoming | None]:
    """Its fields and its file, if it has one.  parameter_invalid for what no page of ours sends."""
    found = _BORDER.fullmatch(content_type.strip())
    if found is None:
        if length > MOST_SMALL:
            raise _unlike("it has a file in no known way")
        return parse_qsl(_Reader(stream, length).exactly(length).decode("utf-8", "replace"), True), None
    reader, border = _Reader(stream, length), b"--" + found[1].encode()
    fields: list[tuple[str, str]] = []
    if reader.until(b"\r\n") != border:
        raise _unlike("it does not begin with its border")
    while True:
        head = reader.until(b"\r\n\r\n")
        names = [match for line in head.split(b"\r\n") if (match := _DISPOSITION.fullmatch(line))]
        if len(names) != 1:
            raise _unlike("a part of it has no name")
        name, is_file = names[0][1].decode("utf-8", "replace"), names[0][2] is not None
        if is_file:
            end = b"\r\n" + border + b"--\r\n"
            size = length - reader.taken - len(end)
            if size < 0:
                raise _unlike("it ends in its file")
            return fields, Incoming(reader, size, end)
        fields.append((name, reader.until(b"\r\n" + border).decode("utf-8", "replace")))
        after = reader.exactly(2)
        if after == b"--":
            return fields, None
        if after != b"\r\n":
            raise _unlike("a border in it goes on")


class _Reader:
    """Counts what was taken, and never takes more than the form has."""

    def __init__(self, stream: Stream, length: int) -> None:
        self._stream, self._left = stream, length  # bytes that have yet to be read
        self._buffer = b""
        self.taken = 0

    def until(self, mark: bytes) -> bytes:
        """What lies before the mark, which is taken as well; among what is small."""
        while (at := self._buffer.find(mark)) < 0:
            if self.taken + len(self._buffer) > MOST_SMALL:
                raise _unlike(f"what is not the file has more than {MOST_SMALL} bytes")
            self._buffer += self._more(4096)
        found = self.exactly(at)
        self.exactly(len(mark))
        return found

    def some(self, size: int) -> bytes:
        if not self._buffer:
            self._buffer = self._more(size)
        return self._cut(size)

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._more(size - len(self._buffer))
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        self.taken += len(found)
        return found

    def _more(self, size: int) -> bytes:
        try:
            piece = self._stream.read(min(size, self._left)) if self._left else b""
        except OSError as error:
            raise _broken(f"{self._left} bytes did not come in time") from error
        if not piece:
            raise _broken(f"it ended {self._left} bytes early" if self._left else "it is not complete")
        self._left -= len(piece)
        return piece


def _unlike(why: str) -> EucaError:
    return EucaError("parameter_invalid", f"The form was not sent as a browser would send it: {why}.")


def _broken(why: str) -> EucaError:
    return EucaError("parameter_invalid", f"The upload broke off: {why}. Send the file again.")
