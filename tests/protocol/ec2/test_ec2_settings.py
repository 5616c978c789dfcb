"""The interface comes through the front door, and its settings are checked."""

from __future__ import annotations

import socket

import pluggy
import pytest

import euca_ec2
from euca_ec2.errors import CODES
from euca_ec2.settings import read
from euca_rpc.errors import SYMBOLS, EucaError
from euca_rpc.hookspecs import INTERFACE_PROJECT, InterfaceSpec


def test_is_found_by_the_hook(cloud):
    plugins = pluggy.PluginManager(INTERFACE_PROJECT)
    plugins.add_hookspecs(InterfaceSpec)
    plugins.register(euca_ec2)
    (interface,) = plugins.hook.euca_interface(core=cloud.core(), settings={"port": 0})
    interface.start()
    port = interface.port
    assert interface.name == "ec2"
    socket.create_connection(("127.0.0.1", port)).close()
    interface.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prot": 1}, "did you mean 'port'?"),
        ({"zzzzzz": 1}, "there are: host, port"),
        ({"port": "8773"}, "must be a int"),
        ({"sigv1": 1}, "must be a bool"),
        ({"threads": True}, "must be a int"),
        ({"threads": 0}, "at least 1"),
        ({"https_port": 8774}, "certificate"),
    ],
)
def test_wrong_settings_are_named(settings, said):
    with pytest.raises(EucaError) as caught:
        read(settings)
    assert caught.value.symbol == "config_invalid"
    assert said in caught.value.sentence


def test_a_port_in_use_is_said(serve):
    first = serve()
    with pytest.raises(EucaError) as caught:
        serve(port=first.port)
    assert f"127.0.0.1:{first.port}" in caught.value.sentence


def test_a_certificate_that_is_not_there_is_said_and_nothing_is_left_open(cloud, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    paths = {"certificate": str(tmp_path / "none.pem"), "key": str(tmp_path / "none.key")}
    interface = euca_ec2.euca_interface(cloud.core(), {"port": port, "https_port": 0, **paths})
    with pytest.raises(EucaError) as caught:
        interface.start()
    assert "none.pem" in caught.value.sentence
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port))


def test_every_symbol_has_a_code():
    assert set(CODES) == set(SYMBOLS)
