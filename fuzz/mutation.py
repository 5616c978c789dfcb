"""What is changed in an input: its bytes, its header lines, its parameters, its XML, the way it is signed and sent.

Bytes alone seldom get past the first rule, so most changes keep the shape and change what stands in it.  All chance
comes from the dice given, so that a seed is one run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from lxml import etree

from euca_ec2.envelope import apart

from .corpus import HEADERS, SOCKET, TOKENS, VALUES, Way, actions, names, way_of
from .scene import Scene, query, soap

Bytes = Callable[[bytes, int], bytes]  # data, most bytes → changed bytes
MOST_BYTES = 12_000
PATHS = (query.PATH, query.PATH + "/", "/")
_NAME = re.compile(r"[\w-]+", re.ASCII)


def torn(dice: random.Random) -> Bytes:
    """Changes of bytes without libFuzzer."""

    def change(data: bytes, most: int) -> bytes:
        message = bytearray(data)
        at, how = dice.randrange(len(message) + 1), dice.random()
        if how < 0.4 and at < len(message):
            message[at] ^= 1 << dice.randrange(8)
        elif how < 0.6:
            del message[at : at + dice.randint(1, 100)]
        elif how < 0.8:
            start = dice.randrange(len(message) + 1)
            message[at:at] = message[start : start + dice.randint(1, 200)]
        else:
            message[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 8)))
        return bytes(message[:most])

    return change


def repaired(letter: query.Letter) -> query.Letter:
    """As a server takes it for a request: most of what is worth changing comes after that."""
    headers = tuple((name, value) for name, value in letter.headers if _NAME.fullmatch(name))
    letter = replace(letter, headers=headers).with_length()
    if letter.method not in ("GET", "POST"):
        letter = replace(letter, method="POST" if letter.body else "GET")
    return letter if letter.path in PATHS else replace(letter, path=query.PATH)


class Mutation:
    def __init__(self, scene: Scene) -> None:
        self._names = names(scene)
        self._actions = actions()
        self._evil = soap.element(
            '<e:TerminateInstances xmlns:e="http://ec2.amazonaws.com/doc/2008-12-01/"><e:instancesSet><e:item>'
            f"<e:instanceId>{scene.world.running}</e:instanceId></e:item></e:instancesSet></e:TerminateInstances>"
        )

    def changed(self, data: bytes, dice: random.Random, change_bytes: Bytes, most: int = MOST_BYTES) -> bytes:
        if len(data) < 2:
            return change_bytes(data, most)
        control, message = data[0], data[1:]
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5))):
            how = dice.random()
            if how < 0.2:
                message = change_bytes(message, most)
            elif how < 0.35:
                at = dice.randrange(len(message) + 1)
                message = message[:at] + dice.choice(TOKENS).encode() + message[at:]
            elif how < 0.4:
                control = dice.randrange(16)
            elif how < 0.6:
                message = self._in_head(message, dice)
            elif b"\r\n\r\n<" in message[:4000]:
                message = self._in_xml(message, dice)
            else:
                message = self._in_parameters(message, dice)
        if dice.random() < 0.8:
            letter = query.taken_apart(message)
            if way_of(control) not in (Way.AS_IT_IS, Way.SOAP) and dice.random() < 0.6:
                letter = self._completed(letter, dice)
            message = repaired(letter).bytes()
        if dice.random() < 0.06:
            control |= SOCKET
        elif dice.random() < 0.4:
            control &= ~SOCKET
        return bytes([control]) + message[: most - 1]

    def _completed(self, letter: query.Letter, dice: random.Random) -> query.Letter:
        """Each parameter once, Action and Version among them."""
        given: dict[bytes, bytes] = {}
        for piece in (letter.query.encode("latin-1", "replace") + b"&" + letter.body).split(b"&"):
            if b"=" in piece:
                given.setdefault(piece.partition(b"=")[0], piece)
        given.setdefault(b"Action", b"Action=" + dice.choice(self._actions).encode())
        if not re.fullmatch(rb"Version=\d{4}-\d\d-\d\d", given.get(b"Version", b"")):
            given[b"Version"] = b"Version=2016-11-15"
        text = b"&".join(given.values())
        if letter.method == "GET":
            return replace(letter, query=text.decode("latin-1"), body=b"")
        return replace(letter, query="", body=text)

    # ------------------------------------------------------------------------------------------------- by its parts
    def _in_head(self, message: bytes, dice: random.Random) -> bytes:
        letter = query.taken_apart(message)
        headers = list(letter.headers)
        how = dice.randrange(9)
        at = dice.randrange(len(headers)) if headers else 0
        if how == 0:
            return replace(
                letter, method=dice.choice(("GET", "POST", "POST", "PUT", "get", "OPTIONS"))
            ).bytes()
        if how == 1:
            path = dice.choice(
                (query.PATH, "/", query.PATH + "/", "//", "/services", "/%2f", query.PATH + "/..")
            )
            return replace(letter, path=path).bytes()
        if how == 2 or not headers:
            name, _, value = dice.choice(HEADERS).partition(": ")
            headers.insert(at, (name, value))
        elif how == 3:
            headers.insert(dice.randrange(len(headers) + 1), headers[at])
        elif how == 4:
            del headers[at]
        elif how == 5:
            name, value = headers[at]
            headers[at] = (
                dice.choice((name.upper(), name.lower(), name.replace("-", "_"), name + " ")),
                value,
            )
        elif how == 6:
            name, value = headers[at]
            headers[at] = (
                name,
                dice.choice((value + ",", " " + value, value.upper(), value.replace(" ", "  "), value[: dice.randrange(len(value) + 1)])),
            )  # fmt: skip
        elif how == 7:
            other = dice.randrange(len(headers))
            (one, a), (two, b) = headers[at], headers[other]
            headers[at], headers[other] = (one, b), (two, a)
        else:
            name, value = headers[at]
            headers.append((name, dice.choice(VALUES).replace("\0", "")))
        return replace(letter, headers=tuple(headers)).bytes()

    def _in_parameters(self, message: bytes, dice: random.Random) -> bytes:
        letter = query.taken_apart(message)
        in_query = bool(letter.query) and (not letter.body or dice.random() < 0.3)
        text = letter.query.encode("latin-1", "replace") if in_query else letter.body
        pieces = [piece.partition(b"=") for piece in text.split(b"&")]
        at = dice.randrange(len(pieces))
        name, _, value = pieces[at]
        how = dice.randrange(10)
        if how == 0:
            pieces.insert(dice.randrange(len(pieces) + 1), pieces[at])
        elif how == 1:
            del pieces[at]
        elif how == 2:
            pieces[at] = (dice.choice(self._names).encode(), b"=", value)
        elif how == 3:
            pieces[at] = (name, b"=", _escaped(dice.choice(VALUES)))
        elif how == 4:
            pieces.append((dice.choice(self._names).encode(), b"=", _escaped(dice.choice(VALUES))))
        elif how == 5:
            pieces.append((b"Action", b"=", dice.choice(self._actions).encode()))
        elif how == 6:
            pieces = [
                (n, e, dice.choice(self._actions).encode() if n == b"Action" else v) for n, e, v in pieces
            ]
        elif how == 7:  # to where the other parameters are
            rest = b"&".join(b"".join(it) for number, it in enumerate(pieces) if number != at)
            moved = b"".join(pieces[at])
            if in_query:
                return replace(
                    letter, query=rest.decode("latin-1"), body=b"&".join(filter(None, (letter.body, moved)))
                ).bytes()
            extended = "&".join(filter(None, (letter.query, moved.decode("latin-1"))))
            return replace(letter, query=extended, body=rest).bytes()
        elif how == 8:  # another border between name and value, and the next name
            joined = name + value
            cut = dice.randrange(len(joined) + 1)
            pieces[at] = (joined[:cut], b"=", joined[cut:])
        else:
            number = dice.choice(
                (b".0", b".1", b".2", b".1.1", b".01", b".99999", b".", b".-1", b".Name", b".Value")
            )
            pieces[at] = (name + number, b"=", value)
        text = b"&".join(b"".join(it) for it in pieces)
        if in_query:
            return replace(letter, query=text.decode("latin-1")).bytes()
        return replace(letter, body=text).bytes()

    def _in_xml(self, message: bytes, dice: random.Random) -> bytes:
        """Parts of the tree put elsewhere.  In a thread of its own, since lxml keeps each thread's names."""
        head, _, body = message.partition(b"\r\n\r\n")

        def change() -> bytes:
            try:
                root = etree.fromstring(body)
            except (etree.XMLSyntaxError, ValueError):
                return body
            for _ in range(dice.randint(1, 3)):
                elements = list(root.iter("*"))
                last = list(root[-1].iter("*")) if len(root) else elements  # the Body, mostly
                self._rearranged(
                    dice.choice(last if last and dice.random() < 0.4 else elements),
                    dice.choice(elements),
                    dice,
                )
            try:
                return etree.tostring(root, encoding="utf-8")
            except (etree.SerialisationError, ValueError):
                return body

        return head + b"\r\n\r\n" + apart(change)

    def _rearranged(self, a, b, dice: random.Random) -> None:
        how = dice.randrange(10)
        if how == 0 and a.getparent() is not None:
            a.getparent().remove(a)
        elif how == 1 and b.getparent() is not None:
            b.addnext(deepcopy(a))
        elif how == 2 and a.getparent() is not None and a is not b and a not in b.iterancestors():
            b.append(a)
        elif how == 3 and isinstance(b.tag, str):
            a.tag = b.tag
        elif how == 4:
            a.set(f"{{{soap.WSU}}}Id", b.get(f"{{{soap.WSU}}}Id", "x"))
        elif how == 5:
            a.text = b.text
        elif how == 6:
            b.append(deepcopy(self._evil))
        elif how == 7:
            for name, value in dict(b.attrib).items():
                a.set(name, value)
        elif how == 8:
            a.text = "".join(it for it in dice.choice(VALUES) if it >= " ")
        else:
            name = dice.choice(self._names).partition(".")[0]
            a.tag = f"{{{etree.QName(a).namespace or ''}}}{name[:1].lower()}{name[1:]}".replace("{}", "")


def _escaped(text: str) -> bytes:
    return query.encoded(text).encode()
