"""Network mode user, from inside a guest: no way to the host's loopback, to other machines or to the world; and from
outside: one address, one port."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

real_cloud: Any = sys.modules["real_cloud"]

LISTEN = "0A"
ELSEWHERE = "192.0.2.1"  # reserved for documentation: nobody has it, should a packet ever leave


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """A service of the host, on its loopback."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(0.1)
        yield one


def reached(guest: Any, targets: list[tuple[str, int]]) -> list[str]:
    """Those that the guest can connect to; all are tried at once."""
    tries = "".join(f"(nc -w 3 {host} {port} < /dev/null && echo {host}:{port}) & " for host, port in targets)
    said = guest.run(f"{{ {tries} }} 2> /dev/null; wait; echo tried", timeout=60.0)
    assert said is not None
    assert said.endswith("tried")
    return said.splitlines()[:-1]


def test_a_guest_reaches_itself(real: Any, pair: list[Any]) -> None:
    """Otherwise the tests below would prove nothing."""
    for guest in pair:
        answered = (
            guest.run(f"for at in 127.0.0.1 {guest.private}; do nc -w 3 $at 22 < /dev/null; done") or ""
        )
        assert answered.count("SSH-2.0") == 2


def test_a_guest_reaches_no_service_of_the_hosts_loopback(
    real: Any, pair: list[Any], listener: socket.socket
) -> None:
    own = [real.ports[name] for name in ("ec2", "nameserver", "cloud", "images")]
    ports = [listener.getsockname()[1], *own]
    for guest in pair:
        net = guest.private.rpartition(".")[0]
        gateway = guest.run("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")
        hosts = {f"{net}.2", f"{net}.3", "10.0.2.2"} - {guest.private} | ({gateway} - {"", None})
        assert reached(guest, [(host, port) for host in sorted(hosts) for port in ports]) == []
    with pytest.raises(TimeoutError):
        listener.accept()


def test_not_even_a_guest_that_sends_loopback_addresses_out(
    real: Any, pair: list[Any], listener: socket.socket
) -> None:
    """A kernel keeps 127.0.0.0/8 to itself; a hostile one need not, and QEMU would connect on its behalf."""
    guest, other = pair
    gateway = f"{guest.private.rpartition('.')[0]}.2"
    said = guest.run(
        "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet && ip addr del 127.0.0.1/8 dev lo && "
        f"ip route add 127.0.0.0/8 via {gateway} src {guest.private} && ip route get {other.address}"
    )
    try:
        assert said is not None
        assert f"via {gateway} dev eth0" in said
        targets = [("127.0.0.1", listener.getsockname()[1]), ("127.0.0.1", real.port), (other.address, 22)]
        assert reached(guest, targets) == []
    finally:
        guest.run("ip route del 127.0.0.0/8; ip addr add 127.0.0.1/8 dev lo")
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_guest_reaches_neither_another_machine_nor_the_world(real: Any, pair: list[Any]) -> None:
    for guest, other in (pair, pair[::-1]):
        guest.run(f"ip route add default via {guest.private.rpartition('.')[0]}.2 2>&1")  # if it has none
        targets = [(other.private, 22), (ELSEWHERE, 80), (ELSEWHERE, 53)]
        assert reached(guest, targets) == []
        assert guest.run("nslookup localhost. 2>&1 | grep -c '^Address.*127' || true") == "0", (
            "no name server"
        )


def test_a_machine_is_reached_at_its_own_address_on_port_22_alone(real: Any, pair: list[Any]) -> None:
    qemus = real.qemus()
    for guest in pair:
        (pid,) = qemus[guest.id]
        assert listening(pid) == {(guest.address, 22)}
        host, number = guest.address.rpartition(".")[::2]
        neighbours = [f"{host}.{(int(number) + step) % 255}" for step in (1, 2)]
        free = [one for one in neighbours if one not in {other.address for other in pair}]
        assert real.refused(free) == free
        assert real.refused([guest.address], port=2222) == [guest.address]
        with socket.create_connection((guest.address, 22), timeout=10) as connection:
            connection.settimeout(10)
            assert connection.recv(4) == b"SSH-"


def listening(pid: int) -> set[tuple[str, int]]:
    """The TCP sockets that a process listens on, IPv4 and IPv6."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        found = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
        inodes |= {found[1]} if found else set()
    held = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[n] for n in (1, 3, 9))
            if state == LISTEN and inode in inodes:
                address, _, port = local.partition(":")
                held.add((socket.inet_ntoa(bytes.fromhex(address)[::-1][-4:]), int(port, 16)))
    return held
