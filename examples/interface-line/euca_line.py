"""A cloud over a plain TCP line: one request per line, one answer per line, for scripts and netcat.

    < euca 7d1f9c…                          a challenge, another one for each connection
    > hello AKXXXXXXXXXXXXXXXXXX 5b0c…      HMAC-SHA256 of the challenge under the secret key, which stays at home
    < ok ann
    > launch emi-1a2b3c4d 2
    < ok i-11111111 i-22222222
    > describe i-11111111
    < ok i-11111111 pending emi-1a2b3c4d m1.small zone-a
    > launch emi-00000000 1
    < no image_not_found the image id 'emi-00000000' does not exist

What is said after `hello` is neither hidden nor sealed: this interface listens on loopback and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from euca_rpc import hookspecs
from euca_rpc.errors import EucaError
from euca_rpc.ids import request_id
from euca_rpc.nouns import Core
from euca_rpc.types import Caller, LaunchRequest

log = logging.getLogger("euca.line")


# What can be asked: each a function of the core, the caller and the words of the line.
def launch(core: Core, caller: Caller, image_id: str, count: str, vm_type: str = "m1.small") -> list[str]:
    if not (count.isascii() and count.isdecimal() and len(count) < 6):
        raise EucaError("parameter_invalid", f"The count is {count[:20]!r}; it must be a number.")
    request = LaunchRequest(image_id, int(count), int(count), vm_type)
    return [status.instance.id for status in core.instances.launch(caller, request).instances]


def instances(core: Core, caller: Caller) -> list[str]:
    return [status.instance.id for _, inside in core.instances.describe(caller) for status in inside]


def describe(core: Core, caller: Caller, id: str) -> list[str]:
    ((_, (status,)),) = core.instances.describe(caller, [id])
    it = status.instance
    return [it.id, status.state, it.image_id, it.vm_type, it.zone]


def console(core: Core, caller: Caller, id: str) -> list[str]:
    shown = core.instances.console(caller, id).result()
    return [base64.b64encode(shown.text).decode()]


def terminate(core: Core, caller: Caller, id: str) -> list[str]:
    return [move.current for move in core.instances.terminate(caller, [id])]


# … and how many words each takes, at least and at most.
REQUESTS: Mapping[str, tuple[Callable[..., list[str]], int, int]] = {
    "launch": (launch, 2, 3),
    "instances": (instances, 0, 0),
    "describe": (describe, 1, 1),
    "console": (console, 1, 1),
    "terminate": (terminate, 1, 1),
}


def prove(core: Core, challenge: str, access_key_id: str, proof: str) -> None:
    """Unknown, disabled and wrong are refused alike."""
    found = core.credentials.by_access_key(access_key_id)
    secret = found.secret if found is not None else f"{core.ids.bits(256):x}"
    right = hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), proof.encode()) or found is None:
        raise EucaError("auth_failure", "The proof is not that of an access key which may be used here.")


class Conversation:
    """One connection.  What was proved is the access key; whose it is, and whether it still counts, is asked anew for
    each line, so that a revoked one is refused at once."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.challenge = f"{core.ids.bits(128):032x}"
        self.access_key_id = ""

    def answer(self, line: bytes) -> str:
        try:
            words = line.decode("ascii", "replace").split()
            return " ".join(["ok", *self.perform(*words)]) if words else "ok"
        except EucaError as refusal:
            if refusal.symbol != "internal":
                return f"no {refusal.symbol} {' '.join(refusal.sentence.split())}"
            log.warning("%s; %s", refusal.sentence, refusal.private)
        except TimeoutError:
            return "no unreachable The node does not answer now; try again."
        except Exception:
            log.exception("a line was not answered")
        return "no internal An internal error occurred; the cloud's log tells it."

    def perform(self, word: str, *words: str) -> list[str]:
        if word == "hello" and len(words) == 2:
            self.access_key_id = ""
            prove(self.core, self.challenge, *words)
            self.access_key_id = words[0]
            return [self.caller().user_name]
        caller = replace(self.caller(), origin="line", request_id=request_id(self.core.ids))
        if word not in REQUESTS:
            raise EucaError(
                "action_unknown", f"There is no {word[:40]!r} here; there are {', '.join(REQUESTS)}."
            )
        function, least, most = REQUESTS[word]
        if not least <= len(words) <= most:
            raise EucaError("parameter_missing", f"{word} takes {least} to {most} words, not {len(words)}.")
        log.info("%s %s %s", caller.request_id, self.access_key_id, word)
        return function(self.core, caller, *words)

    def caller(self) -> Caller:
        found = self.core.credentials.by_access_key(self.access_key_id) if self.access_key_id else None
        if found is None:
            raise EucaError("auth_failure", "Say 'hello ACCESS-KEY PROOF' first.")
        return found.caller


class LineInterface:
    """The server: `start` and `stop` are all that the cloud's daemon wants of it, and a name."""

    name = "line"
    most = 64  # connections at a time
    patience = 30.0  # seconds for a whole line to come, and for an answer to be taken

    def __init__(self, core: Core, port: int) -> None:
        self.core, self.port = core, port
        self.talking = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="line", daemon=True)

    def start(self) -> None:
        """Serves when it returns; a port that is taken is an error of the start, with a sentence."""
        try:
            opening = asyncio.start_server(self.talk, "127.0.0.1", self.port, limit=1024)
            server = self.loop.run_until_complete(opening)
        except OSError as error:
            raise EucaError("config_invalid", f"The line interface cannot listen: {error}.") from error
        self.port = server.sockets[0].getsockname()[1]
        self.thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talking += 1
        try:
            if self.talking <= self.most:
                conversation = Conversation(self.core)
                await self.say(writer, f"euca {conversation.challenge}")
                while line := await asyncio.wait_for(reader.readline(), self.patience):
                    await self.say(writer, await asyncio.to_thread(conversation.answer, line))
        except (OSError, TimeoutError, ValueError):
            pass  # it left, was too slow, or its line was too long
        finally:
            self.talking -= 1
            writer.transport.abort()

    async def say(self, writer: asyncio.StreamWriter, text: str) -> None:
        writer.write(f"{text}\n".encode())
        await asyncio.wait_for(writer.drain(), self.patience)


@hookspecs.interface
def euca_interface(core: Core, settings: Mapping[str, Any]) -> LineInterface:
    unknown = sorted(set(settings) - {"port"})
    port = settings.get("port", 8781)
    if unknown or type(port) is not int or not 0 <= port < 65536:
        raise EucaError(
            "config_invalid", "[interface.line] takes 'port', a number below 65536, and nothing else."
        )
    return LineInterface(core, port)
