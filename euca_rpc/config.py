"""The one place that reads the configuration: what a process needs to start.

`HOME/euca.toml` holds it, frozen dataclasses carry it; what is changed while the cloud runs (policies
in force, VM types, quotas) lives in the database instead and `[defaults]` only seeds that at `euca
init`. Every value knows where it came from, shown by `euca config show --origin`. A wrong file is
refused with a sentence that names the file, the key and the nearest key that exists: a misspelt
setting must not be silently unused.

    default  <  HOME/euca.toml  <  flag of the command        EUCA_HOME names the home itself
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

from euca_rpc.errors import EucaError
from euca_rpc.ids import is_name

FILE: Final = "euca.toml"
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
HYPERVISORS: Final = ("auto", "kvm", "qemu", "xen", "test", "simulated")

# every daemon's port is the base port plus a fixed offset, so that one number moves a whole cloud
EC2, PORTAL, NAMESERVER, CLOUD, IMAGES, ENROL, CLUSTER, NODE = 0, 1, 2, 3, 4, 5, 10, 40
PORTAL_OF_1_0: Final = 8443  # the portal is here as long as the base port is the usual one
MOST_ZONES, MOST_NODES = NODE - CLUSTER, 400  # of one `euca up`; a bigger site runs its daemons host by host


# ----------------------------------------------------------------------------------------------- the sections
@dataclass(frozen=True, slots=True)
class Listen:
    """Where daemons listen.  127.0.0.1 until somebody says otherwise."""

    address: str = "127.0.0.1"  # the daemons bind here
    advertise: str = ""  # the name others find them under; "" = address
    port: int = 8773  # the base port (EC2); all others lie at fixed offsets above it
    nameserver: str = ""  # "host:port" of a name server elsewhere; "" = this host, base port + 2
    images: str = ""  # "https://host:port" of an image server elsewhere; "" = this host, base port + 4


@dataclass(frozen=True, slots=True)
class Cloud:
    region: str = "eucalyptus"  # what clients see as the region's name
    policy: str = "greedy"  # placement policy, where a zone has none of its own
    policies: tuple[str, ...] = ("greedy", "round_robin", "least_full", "pack", "spread")  # plugins to load
    interfaces: tuple[str, ...] = ("ec2", "portal")  # plugins to load
    poll_seconds: float = 2.0  # between two questions to a zone's cluster controller; news comes at once
    silence_seconds: float = 10.0  # without an answer: then it is shown as silent
    longest_wait_hours: float = 24.0  # that a launch may wait for a policy or for room
    certificate_days: float = 90.0  # life of a daemon's certificate; it renews itself after two thirds of it


@dataclass(frozen=True, slots=True)
class Cluster:
    poll_seconds: float = 2.0  # between two questions to a node; news comes at once
    silence_seconds: float = 10.0  # without an answer: then the node is shown as silent
    backoff_seconds: float = 5.0  # the longest pause between two questions to a silent node
    wake_command: tuple[
        str, ...
    ] = ()  # wakes a node: words, {node} {host} {mac} are replaced; () = no node sleeps


@dataclass(frozen=True, slots=True)
class Images:
    """What the image server takes."""

    largest_gb: int = 100  # bytes of an upload
    largest_disk_gb: int = 100  # of the disk inside a qcow2 image, or of a raw one
    largest_kernel_mb: int = 512  # a kernel or ramdisk, which is loaded into memory
    upload_hours: int = 24  # that an interrupted upload may be resumed


@dataclass(frozen=True, slots=True)
class Node:
    """What a node offers: what its host has (or what is said here instead), times a ratio, less a reserve."""

    hypervisor: str = "auto"
    libvirt_uri: str = ""  # "" = that of the host's own libvirt
    cores: int = 0  # 0 = what the host has
    memory_mb: int = 0
    disk_gb: int = 0
    cores_ratio: float = 1.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserve_cores: int = 0
    reserve_memory_mb: int = 256  # the daemon, libvirtd and the host itself
    reserve_disk_gb: int = 2  # the image cache and logs grow here too
    image_cache_gb: int = 20
    sleep_command: tuple[
        str, ...
    ] = ()  # puts this host to sleep: words, {zone} {host} are replaced; () = never
    wake_address: str = ""  # the MAC address that wakes it; "" = that of its first network card


@dataclass(frozen=True, slots=True)
class Network:
    mode: str = "user"
    address_pool: str = "127.31.0.0/16"  # user mode: one address per machine, for its ssh port


@dataclass(frozen=True, slots=True)
class SignUp:
    """How long what people are given is good for, who come in through the portal."""

    idle_minutes: float = 120.0  # a session that is not used ends
    session_hours: float = 24.0  # … and this is the longest that one lasts
    activation_hours: float = 168.0  # life of the link to activate an account
    recovery_minutes: float = 60.0  # … and of the one to choose another password
    most_waiting: int = 500  # requests; then nobody can apply until some are decided


@dataclass(frozen=True, slots=True)
class Mail:
    """The server that takes the cloud's mail; without one, mails are kept and shown to the administrators."""

    server: str = ""
    port: int = 587
    security: str = "starttls"  # "starttls" | "tls" (from the first byte, mostly port 465) | "none"
    user: str = ""  # "" = no log-in
    password_file: str = ""  # the first line of this file
    sender: str = ""  # the address that mails come from
    authority: str = ""  # PEM file of who signed the server's certificate; "" = those that this host trusts
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Log:
    """Of every daemon that `euca up` runs: the newest file and older ones, each of this size at most."""

    megabytes: int = 10
    files: int = 3


@dataclass(frozen=True, slots=True)
class Up:
    """What `euca up` starts on this machine."""

    zones: tuple[str, ...] = ("zone-a",)
    nodes: int = 1  # in each zone


@dataclass(frozen=True, slots=True)
class Defaults:
    """Seeds of the database at `euca init`; changed later by command, not here."""

    administrator: str = "admin"
    account_instances: int = 20  # -1 = no limit
    user_instances: int = -1


SECTIONS: Final[Mapping[str, type]] = {
    "listen": Listen,
    "cloud": Cloud,
    "cluster": Cluster,
    "images": Images,
    "node": Node,
    "network": Network,
    "sign_up": SignUp,
    "mail": Mail,
    "log": Log,
    "up": Up,
    "defaults": Defaults,
}

# below these a daemon would ask without a pause, refuse everything or live without a certificate
LEAST: Final[Mapping[str, float]] = {
    "cloud.poll_seconds": 0.05,
    "cloud.silence_seconds": 0.1,
    "cloud.certificate_days": 0.0001,
    "cluster.poll_seconds": 0.05,
    "cluster.silence_seconds": 0.1,
    "cluster.backoff_seconds": 0.05,
    "images.largest_gb": 1,
    "images.largest_disk_gb": 1,
    "images.largest_kernel_mb": 1,
    "images.upload_hours": 1,
    "node.image_cache_gb": 1,
    "sign_up.idle_minutes": 1.0,
    "sign_up.session_hours": 0.1,
    "sign_up.activation_hours": 0.1,
    "sign_up.recovery_minutes": 1.0,
    "sign_up.most_waiting": 1,
    "mail.timeout_seconds": 1.0,
    "log.megabytes": 1,
    "log.files": 1,
}


@dataclass(frozen=True, slots=True)
class Config:
    home: Path
    listen: Listen = field(default_factory=Listen)
    cloud: Cloud = field(default_factory=Cloud)
    cluster: Cluster = field(default_factory=Cluster)
    images: Images = field(default_factory=Images)
    node: Node = field(default_factory=Node)
    network: Network = field(default_factory=Network)
    sign_up: SignUp = field(default_factory=SignUp)
    mail: Mail = field(default_factory=Mail)
    log: Log = field(default_factory=Log)
    up: Up = field(default_factory=Up)
    defaults: Defaults = field(default_factory=Defaults)
    interface: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # handed to the plugin as it is
    origins: Mapping[str, str] = field(default_factory=dict)  # "listen.port" → "file"; absent = "default"

    # ---- home
    @property
    def file(self) -> Path:
        return self.home / FILE

    @property
    def ca(self) -> Path:
        return self.home / "ca"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def blobs(self) -> Path:
        return self.home / "blobs"

    @property
    def cloud_home(self) -> Path:
        return self.home / "cloud"

    @property
    def database(self) -> Path:
        return self.cloud_home / "euca.db"

    @property
    def seal_key(self) -> Path:
        """What secrets in the database are sealed under."""
        return self.cloud_home / "seal.key"

    @property
    def portal_home(self) -> Path:
        """The portal's certificate and key, where the site may put its own."""
        return self.home / "portal"

    @property
    def ticket_key(self) -> Path:
        """Shared by cloud controller and image server: who may fetch which image."""
        return self.home / "ticket.key"

    def identity(self, role: str, zone: str = "", host: str = "") -> Path:
        return self.home / "identities" / "-".join(part for part in (role, zone, host) if part)

    def node_home(self, zone: str, host: str) -> Path:
        return self.home / "nodes" / f"{zone}-{host}"

    def host_home(self, zone: str, host: str) -> Path:
        return self.home / "hosts" / f"{zone}-{host}"

    # ---- addresses
    def port(self, offset: int) -> int:
        return self.listen.port + offset

    @property
    def advertised(self) -> str:
        return self.listen.advertise or self.listen.address

    @property
    def nameserver(self) -> tuple[str, int]:
        if not self.listen.nameserver:
            return self.advertised, self.port(NAMESERVER)
        host, _, port = self.listen.nameserver.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def images_url(self) -> str:
        return self.listen.images or f"https://{self.advertised}:{self.port(IMAGES)}"

    @property
    def ec2_url(self) -> str:
        return f"http://{self.advertised}:{self.port(EC2)}/services/Eucalyptus"

    @property
    def portal_port(self) -> int:
        """8443 as in 1.0; another base port moves it along, to lie beside the EC2 endpoint's."""
        usual = PORTAL_OF_1_0 if self.listen.port == Listen().port else self.port(PORTAL)
        return int(self.interface.get("portal", {}).get("port", usual))

    @property
    def portal_url(self) -> str:
        """The public one: what links in mails begin with."""
        said = self.interface.get("portal", {}).get("url")
        return str(said or f"https://{self.advertised}:{self.portal_port}").rstrip("/")

    def values(self) -> Iterator[tuple[str, Any, str]]:
        """Every setting: key, value, where it came from."""
        yield "home", str(self.home), self.origins.get("home", "default")
        for section, kind in SECTIONS.items():
            for one in fields(kind):
                key = f"{section}.{one.name}"
                yield key, getattr(getattr(self, section), one.name), self.origins.get(key, "default")
        for plugin, settings in self.interface.items():
            for name, value in settings.items():
                yield f"interface.{plugin}.{name}", value, "file"


# --------------------------------------------------------------------------------------------------- reading
def load(
    home: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration of this process.  ``flags`` are dotted keys; a value of None was not given."""
    where, origin = find_home(home, environ)
    path = where / FILE
    table = _read(path)
    origins = {"home": origin}
    interface = table.pop("interface", {})
    if not isinstance(interface, dict) or not all(isinstance(one, dict) for one in interface.values()):
        raise _wrong(path, "interface", "must be tables, one per plugin, as in [interface.ec2]")
    given: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for section, entries in table.items():
        if section not in SECTIONS:
            raise _unknown(path, section, [*SECTIONS, "interface"], "section")
        if not isinstance(entries, dict):
            raise _wrong(path, section, f"must be a table, as in [{section}]")
        for name, value in entries.items():
            given[section][name] = _typed(path, section, name, value)
            origins[f"{section}.{name}"] = "file"
    for key, value in (flags or {}).items():
        if value is None:
            continue
        section, _, name = key.partition(".")
        given[section][name] = _typed(Path("(flag)"), section, name, value)
        origins[key] = "flag"
    made = {section: kind(**given[section]) for section, kind in SECTIONS.items()}
    config = Config(home=where, interface=interface, origins=origins, **made)
    _check(path, config)
    return config


def find_home(home: str | Path | None, environ: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    if home is not None:
        return Path(home).expanduser().absolute(), "flag"
    if environ.get("EUCA_HOME"):
        return Path(environ["EUCA_HOME"]).expanduser().absolute(), "environment"
    return Path("~/.euca").expanduser(), "default"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EucaError("config_invalid", f"{path} is not valid TOML: {error}. Mend or remove it.") from error


def _typed(path: Path, section: str, name: str, value: Any) -> Any:
    kind = SECTIONS[section]
    hints = get_type_hints(kind)
    if name not in hints:
        raise _unknown(path, f"{section}.{name}", [f"{section}.{known}" for known in hints], "key")
    wanted = hints[name]
    if get_origin(wanted) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise _wrong(path, f"{section}.{name}", f'must be a list of texts, as in ["a", "b"], not {value!r}')
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:  # bool is an int to isinstance, and is not one here
        said = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}[
            wanted
        ]
        raise _wrong(path, f"{section}.{name}", f"must be {said}, not {value!r}")
    return value


def _check(path: Path, config: Config) -> None:
    """What no type says."""
    highest = config.listen.port + NODE + MOST_NODES
    if config.listen.port < 1 or highest > 65535:
        raise _wrong(path, "listen.port", f"must lie between 1 and {65535 - NODE - MOST_NODES}")
    for zone in config.up.zones:
        if not is_name(zone):
            raise _wrong(
                path, "up.zones", f"{zone!r} is not a zone's name: lower-case letters, digits and hyphens"
            )
    if not 1 <= len(set(config.up.zones)) == len(config.up.zones) <= MOST_ZONES:
        raise _wrong(path, "up.zones", f"must name 1 to {MOST_ZONES} zones, each once")
    if not 0 <= config.up.nodes * len(config.up.zones) <= MOST_NODES:
        raise _wrong(
            path, "up.nodes", f"must be at least 0, and at most {MOST_NODES} nodes in all zones together"
        )
    if config.node.hypervisor not in HYPERVISORS:
        raise _wrong(path, "node.hypervisor", f"must be one of {', '.join(HYPERVISORS)}")
    for key, least in LEAST.items():
        section, name = key.split(".")
        if not getattr(getattr(config, section), name) >= least:
            raise _wrong(path, key, f"must be at least {least:g}")
    _check_mail(path, config)
    _check_command(path, "node.sleep_command", config.node.sleep_command, ("zone", "host", "home"))
    words = ("node", "zone", "host", "mac", "home")
    _check_command(path, "cluster.wake_command", config.cluster.wake_command, words)
    if config.node.wake_address and not _MAC.fullmatch(config.node.wake_address):
        raise _wrong(path, "node.wake_address", "must be a MAC address, as in 52:54:00:12:34:56")
    if config.network.mode != "user":
        raise _wrong(path, "network.mode", "must be 'user': no other mode is built in yet")
    try:
        pool = ipaddress.ip_network(config.network.address_pool)
    except ValueError as error:
        raise _wrong(path, "network.address_pool", f"is no network: {error}") from error
    if not pool.is_loopback:
        raise _wrong(
            path, "network.address_pool", "must lie in 127.0.0.0/8: user mode serves this machine alone"
        )
    host, _, port = config.listen.nameserver.rpartition(":")
    if config.listen.nameserver and not (host and port.isdecimal()):
        raise _wrong(path, "listen.nameserver", "must be host:port, as in cloud.example.org:8775")


def _check_command(path: Path, key: str, words: tuple[str, ...], known: tuple[str, ...]) -> None:
    """A word that stands for something must be one that is replaced: no shell would tell."""
    for word in words:
        for name in re.findall(r"\{(\w+)\}", word):
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = (
                    f"did you mean {{{near[0]}}}?"
                    if near
                    else "there are " + ", ".join(f"{{{k}}}" for k in known)
                )
                raise _wrong(path, key, f"has {{{name}}}, which stands for nothing: {hint}")


def _check_mail(path: Path, config: Config) -> None:
    mail = config.mail
    if not 1 <= mail.port <= 65535:
        raise _wrong(path, "mail.port", "must lie between 1 and 65535")
    if mail.security not in ("starttls", "tls", "none"):
        raise _wrong(path, "mail.security", "must be one of starttls, tls, none")
    if mail.server and "@" not in mail.sender:
        raise _wrong(path, "mail.sender", "must be the address that mails come from, as in euca@example.org")
    if mail.user and not mail.password_file:
        raise _wrong(path, "mail.password_file", f"must name the file with the password of {mail.user}")
    if mail.user and mail.security == "none":
        raise _wrong(path, "mail.security", "must not be none: the password would be sent for all to read")


def _unknown(path: Path, key: str, known: list[str], what: str) -> EucaError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
    facts = {"file": str(path), "key": key, "nearest": near[0] if near else ""}
    return EucaError("config_invalid", f"{path} has an unknown {what} {key}. {hint}", facts=facts)


def _wrong(path: Path, key: str, why: str) -> EucaError:
    return EucaError("config_invalid", f"{path}: {key} {why}.", facts={"file": str(path), "key": key})
