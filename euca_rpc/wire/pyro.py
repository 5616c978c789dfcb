"""Pyro5, tamed: the only file that imports it (the name server's own, `nameserver`, apart).

    Remote.call ─ directory ─ pool ─ Proxy ══ TLS ══ Listener ─ Daemon.handleRequest ─ _Door.invoke ─ servant.method

Pyro frames, serialises and dispatches; connecting, TLS, threads and deadlines are ours (`tls`, `listener`, `framing`),
because Pyro's own transport shakes hands inside accept, waits for ever and trusts anybody the system trusts.  Its proxy
and its daemon are each given a connection that is already open and checked.

What Pyro would accept and we do not, is stopped where bytes come in (`_Connection.recv`): any serializer but msgpack,
compressed, batched, one-way and pre-serialised messages (these reach `marshal` and unbounded `zlib`), annotations, and
anything too large.  One method is exposed, `invoke`; what it may reach is the table of `contracts` and nothing else.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgpack
from Pyro5 import callcontext, client, config, errors, protocol, serializers, server, socketutil

from euca_rpc.clock import SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.calling import Caller, Calls
from euca_rpc.wire.framing import Garbled, read_exactly, readable, write_all
from euca_rpc.wire.listener import Held, Listener
from euca_rpc.wire.pki import Identity, Peer, Revoked, nothing_revoked
from euca_rpc.wire.serving import Offer
from euca_rpc.wire.tls import Address, Contexts, check_peer, peer_of

log = logging.getLogger(__name__)

MAX_MESSAGE = 64 * 1024 * 1024  # a report of a thousand machines is a quarter of a MiB; images go another way
IDLE_S = 90.0  # the server keeps a silent connection longer than the caller's pool does (`calling.IDLE_S`)
FIRST_S = 5.0  # until the first byte of a new connection
MESSAGE_S = 30.0  # a whole message, once its first byte is there


# ------------------------------------------------------------------------- what Pyro keeps for the whole process
class _Plain(serializers.MsgpackSerializer):  # type: ignore[misc]
    """msgpack of plain values.  No classes: Pyro's own would build proxies and exceptions that a message names."""

    def dumps(self, data: Any) -> bytes:
        if isinstance(data, BaseException):
            data = {"error": _as_error(data).to_wire()}
        try:
            return _packed(data)
        except EucaError as error:  # a servant's mistake, not the caller's
            raise TypeError(error.sentence) from None

    def dumpsCall(self, obj: Any, method: Any, vargs: Any, kwargs: Any) -> bytes:
        return _packed([obj, method, vargs, kwargs])

    def loads(self, data: Any) -> Any:
        """An answer; errors are in the only place where one can be, since a result is always wrapped."""
        try:
            value = _unpacked(data)
            if isinstance(value, dict) and value.keys() == {"error"}:
                return EucaError.from_wire(value["error"])
        except (EucaError, AttributeError, TypeError, ValueError):
            raise errors.ProtocolError("an answer that cannot be read") from None
        return value

    def loadsCall(self, data: Any) -> Any:
        value = _unpacked(data)
        if not isinstance(value, list) or len(value) != 4:
            raise EucaError("parameter_invalid", "the message is not a call")
        return value


def _packed(data: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(data, use_bin_type=True, default=_refuse_type)
    except (ValueError, OverflowError, TypeError) as error:
        raise EucaError("parameter_invalid", f"this cannot cross the wire: {error}") from None
    if len(packed) > MAX_MESSAGE - 1024:
        raise EucaError(
            "parameter_invalid", f"a message of {len(packed)} bytes is larger than the limit of {MAX_MESSAGE}"
        )
    return packed


def _refuse_type(value: Any) -> Any:
    raise TypeError(f"a value of type {type(value).__name__}; wire.codec.pack makes plain values")


def _unpacked(data: Any) -> Any:
    try:
        return msgpack.unpackb(data, raw=False, ext_hook=_refuse_extension)
    except Exception as error:  # msgpack raises half a dozen kinds
        raise EucaError("parameter_invalid", f"the message cannot be read ({type(error).__name__})") from None


def _refuse_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _as_error(error: BaseException) -> EucaError:
    """An exception on its way to the caller."""
    if isinstance(error, EucaError):
        return error
    if isinstance(error, errors.DaemonError | AttributeError):  # Pyro's words for no such object or method
        return EucaError("action_unknown", "this daemon offers no such object or method")
    request = str(callcontext.current_context.correlation_id)
    log.error("request %s failed", request, exc_info=error)
    return _internal(request)


def _internal(request: str) -> EucaError:
    return EucaError(
        "internal",
        f"something failed inside; the daemon's log has it under {request}",
        facts={"request_id": request},
    )


def _set_up_pyro() -> None:
    """All of Pyro's settings are process-wide: set once, on import, whatever the environment says."""
    config.reset(use_environment=False)
    config.SERIALIZER = "msgpack"
    config.MAX_MESSAGE_SIZE = MAX_MESSAGE
    config.SERVERTYPE = "thread"
    config.SOCK_NODELAY = True
    config.COMMTIMEOUT = MESSAGE_S
    config.MAX_RETRIES = 0  # it would send calls again that are not safe to repeat
    config.ITER_STREAMING = False
    config.SSL = False  # its contexts must never be made: sockets come to it open and checked
    plain = _Plain()
    serializers.serializers.clear()
    serializers.serializers["msgpack"] = plain
    serializers.serializers_by_id.clear()
    serializers.serializers_by_id[plain.serializer_id] = plain


_set_up_pyro()


# --------------------------------------------------------------------------------------------- one connection
_HEAD, _REST = 6, 34  # how Pyro reads a message's 40 bytes of header
_FLAGS = protocol.FLAGS_CORR_ID | protocol.FLAGS_EXCEPTION


class Connection(socketutil.SocketConnection):  # type: ignore[misc]
    """A checked TLS socket in Pyro's clothes."""

    def __init__(self, sock: ssl.SSLSocket, peer: Peer, where: tuple[str, int], *, serving: bool) -> None:
        super().__init__(sock)
        self.peer = peer
        self.where = where
        self.serving = serving
        self.deadline = 0.0
        self.refused = False
        self._head = b""

    def recv(self, size: int) -> bytes:
        data: bytes = self._io(read_exactly, size)
        if size == _HEAD:
            self._head = data
        elif self._head:
            self._check(self._head + data)
            self._head = b""
        return data

    def send(self, data: bytes) -> None:
        if self.serving:
            self.deadline = time.monotonic() + MESSAGE_S
        self._io(write_all, data)

    def _io(self, what: Callable[..., Any], value: Any) -> Any:
        try:
            return what(self.sock, value, self.deadline)
        except TimeoutError as error:
            raise errors.TimeoutError("no answer in time") from error
        except OSError as error:
            raise errors.ConnectionClosedError(str(error)) from error

    @staticmethod
    def _check(header: bytes) -> None:
        message = protocol.ReceivingMessage(header)  # checks magic, version and size
        if message.serializer_id != _Plain.serializer_id:
            raise errors.ProtocolError(f"serializer {message.serializer_id} is not spoken here")
        if message.flags & ~_FLAGS or message.annotations_size:
            raise errors.ProtocolError(f"a message with flags {message.flags:#x} is not spoken here")


# ---------------------------------------------------------------------------------------------------- serving
class _Door:
    """The one object Pyro sees for a servant."""

    def __init__(self, offer: Offer, check: Callable[[Connection], None]) -> None:
        self._offer = offer
        self._check = check

    @server.expose  # type: ignore[untyped-decorator]
    def invoke(self, method: Any, args: Any, contract: Any) -> dict[str, Any]:
        context = callcontext.current_context
        request = str(context.correlation_id)
        caller: Connection = context.client
        try:
            self._check(caller)
            return {"value": self._offer.answer(caller.peer.name, method, args, contract)}
        except EucaError as error:
            if error.private:
                log.warning("request %s of the %s: %s", request, caller.peer.name.text, error.private)
            raise
        except Exception:
            log.exception(
                "request %s: %s.%s of the %s failed", request, self._offer.name, method, caller.peer.name.text
            )
            raise _internal(request) from None


class _Nothing:
    """In place of Pyro's own daemon object, which tells strangers what is registered."""

    def __init__(self, daemon: object) -> None:
        pass


class Endpoint:
    """A daemon's servant, reachable.

    ``servants`` maps an object name to a plain object with the contract's methods: keyword arguments of wire values,
    and ``peer`` (a PeerName) if the method wants to know who calls.
    """

    def __init__(
        self,
        identity: Identity,
        host: str,
        port: int,
        servants: Mapping[str, object],
        *,
        advertise: str | None = None,
        revoked: Revoked = nothing_revoked,
        threads: int = 256,
        per_peer: int = 64,
        calls: Calls = contracts.BY_OBJECT,
    ) -> None:
        self._contexts = Contexts(identity)
        self._revoked = revoked
        self._advertise = advertise or host
        # Pyro's daemon dispatches; for a transport it gets a connection that nobody ever uses
        self._unused = socket.socketpair()
        self._daemon = server.Daemon(connected_socket=self._unused[0], interface=_Nothing)
        self._offers: list[Offer] = []
        for name, servant in servants.items():
            if name != identity.peer.object_name:
                raise EucaError(
                    "config_invalid",
                    f"{name} cannot be offered with the certificate of the {identity.peer.text}",
                )
            offer = Offer(name, servant, calls)
            self._offers.append(offer)
            self._daemon.register(_Door(offer, self._check), name)
        self._listener = Listener(
            host,
            port,
            self._contexts.server,
            lambda sock: peer_of(sock).name.text,
            self._serve,
            limit=threads,
            per_peer=per_peer,
        )

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()
        for sock in self._unused:
            sock.close()

    def use(self, identity: Identity) -> None:
        """A renewed certificate, for new connections; guests and calls under way do not notice."""
        self._contexts.use(identity)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def address(self) -> tuple[str, int]:
        """Where others reach it: the configured name, not what it is bound to."""
        return self._advertise, self._listener.port

    def ignored_arguments(self) -> int:
        return sum(offer.ignored_arguments for offer in self._offers)

    def _check(self, caller: Connection) -> None:
        cloud_id = self._contexts.identity.cloud_id
        try:
            check_peer(caller.peer, caller.where, cloud_id, self._revoked, SystemClock().wall())
        except EucaError as error:
            caller.refused = True
            log.warning("refused: %s", error.sentence)
            raise

    def _serve(self, held: Held) -> None:
        connection = Connection(held.sock, peer_of(held.sock), held.address, serving=True)
        if not readable(held.sock, FIRST_S):  # counts as work: who just came has something to say
            return
        while not connection.refused:
            if not held.claim():
                return
            connection.deadline = time.monotonic() + MESSAGE_S
            try:
                self._daemon.handleRequest(connection)
            except errors.ConnectionClosedError:
                return
            except errors.CommunicationError as error:
                log.warning("closed the connection of the %s: %s", connection.peer.name.text, error)
                return
            held.rest()
            if not readable(held.sock, IDLE_S):
                return


# ---------------------------------------------------------------------------------------------------- calling
class Line(client.Proxy):  # type: ignore[misc]
    """Pyro's proxy on a connection that is open already; it can never open one itself."""

    _connection: Connection

    def __init__(self, object_name: str, connection: Connection) -> None:
        super().__init__(f"PYRO:{object_name}@nowhere:0")
        object.__setattr__(self, "_connection", connection)  # Pyro takes other attributes for the servant's
        connection.objectId = object_name
        self._pyroMethods = {"invoke"}
        self._pyroConnection = connection

    def ask(self, method: str, args: Mapping[str, Any], deadline: float) -> Any:
        self._pyroClaimOwnership()  # lines are handed from thread to thread, one at a time
        context = callcontext.current_context
        context.correlation_id = uuid.uuid4()
        context.annotations = {}
        self._connection.deadline = deadline
        contract = [contracts.OLDEST, contracts.CONTRACT]
        try:
            answer = self._pyroInvoke("invoke", [method, dict(args), contract], {})
        except errors.TimeoutError:
            raise TimeoutError from None
        except errors.CommunicationError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise Garbled(str(error)) from None
        except TypeError:  # Pyro raises whatever it was sent as an exception
            raise Garbled("an error that is none") from None
        if not isinstance(answer, dict) or "value" not in answer:
            raise Garbled("an answer without a value")
        return answer["value"]

    def hang_up(self) -> None:
        self._connection.close()


class Remote(Caller):
    """``Remote(identity, directory, revoked=…).call("euca.node.open.host1", "report", {"known": 3})``: a wire value,
    or EucaError; `unreachable` means that the call may or may not have happened."""

    def _open(self, object_name: str, sock: ssl.SSLSocket, peer: Peer, address: Address) -> Line:
        return Line(object_name, Connection(sock, peer, address, serving=False))
