"""The interface comes through the front door, and its settings are checked."""

from __future__ import annotations

import socket

import pluggy
import pytest

from euca_ec2.errors import CODES
from euca_ec2.settings import read
from euca_rpc.errors import SYMBOLS, EucaError
from euca_rpc.hookspecs import INTERFACE_PROJECT, InterfaceSpec


def test_is_found_by_the_hook(cloud):
    import euca_ec2

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


def test_every_symbol_has_a_code():
    assert set(CODES) == set(SYMBOLS)
