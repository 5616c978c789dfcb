"""The name server and the directory: names survive restarts, and nobody needs it who was ever told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.wire import directory as directory_module
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.directory import Directory
from euca_rpc.wire.nameserver import NameServer, Settings, read_settings
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.pyro import Remote

CLUSTER, NODE = PeerName("cluster", "open"), PeerName("node", "open", "host1")


@pytest.fixture
def names(cloud, tmp_path: Path) -> NameServer:
    return start(cloud, tmp_path)


def start(cloud, where: Path, port: int = 0) -> NameServer:
    server = NameServer(cloud.identity(PeerName("nameserver")), "127.0.0.1", port, where / "names.sqlite")
    server.start()
    cloud.ends_with(server.stop)
    return server


def directory_of(cloud, names: NameServer, peer: PeerName, cache: Path, **how: object) -> Directory:
    directory = Directory(cloud.identity(peer), ("127.0.0.1", names.port), cache, **how)
    cloud.ends_with(directory.close)
    return directory


def test_what_one_registers_another_finds(cloud, names, tmp_path) -> None:
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "host7.example", 9001)
    found = directory_of(cloud, names, PeerName("cloud"), tmp_path / "b").find("euca.cluster.open")
    assert found == ("host7.example", 9001)


def test_an_address_of_version_6_survives(cloud, names, tmp_path) -> None:
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "fd00::7", 9001)
    assert directory_of(cloud, names, NODE, tmp_path / "b").find("euca.cluster.open") == ("fd00::7", 9001)


@pytest.mark.parametrize(
    "name", ["euca.cloud", "euca.cluster.closed", "euca.node.open.host1", "Pyro.NameServer", "x"]
)
def test_nobody_registers_anothers_name(cloud, names, tmp_path, name) -> None:
    with pytest.raises(EucaError) as caught:
        directory_of(cloud, names, CLUSTER, tmp_path / "a").register(name, "127.0.0.1", 9001)
    assert caught.value.symbol == "role_refused"
    assert caught.value.sentence == (
        f"the cluster controller open may register euca.cluster.open and no other name, but asked for {name}"
    )


@pytest.mark.parametrize(
    "where", [("a b", 1), ("", 1), ("h", 0), ("h", 70000), ("h@x", 1), (7, 1), ("h", "1")]
)
def test_what_is_no_address_is_not_registered(cloud, names, tmp_path, where) -> None:
    with pytest.raises(EucaError, match="no host and port"):
        directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", *where)


def test_the_name_server_is_believed_only_with_its_own_certificate(cloud, servant, tmp_path) -> None:
    impostor = cloud.endpoint(servant)  # a node listens where the name server should
    with pytest.raises(EucaError, match="is the node controller open/host1"):
        directory_of(cloud, impostor, CLUSTER, tmp_path / "a").register("euca.cluster.open", "127.0.0.1", 1)


def test_names_survive_a_restart_of_the_name_server(cloud, names, tmp_path) -> None:
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "127.0.0.1", 9001)
    names.stop()
    again = start(cloud, tmp_path)
    assert directory_of(cloud, again, NODE, tmp_path / "b").find("euca.cluster.open") == ("127.0.0.1", 9001)


def test_an_emptied_name_server_is_filled_again(cloud, names, tmp_path) -> None:
    directory = directory_of(cloud, names, CLUSTER, tmp_path / "a")
    directory.keep_registered("euca.cluster.open", "127.0.0.1", 9001)
    assert directory.register_all() is None
    names.stop()
    (tmp_path / "names.sqlite").unlink()
    trouble = directory.register_all()
    assert trouble is not None
    assert trouble.symbol == "unreachable"
    again = start(cloud, tmp_path, names.port)
    assert directory.register_all() is None
    assert directory_of(cloud, again, NODE, tmp_path / "b").find("euca.cluster.open") == ("127.0.0.1", 9001)


def test_with_the_name_server_down_a_restarted_daemon_still_reaches_its_peers(
    cloud, names, servant, tmp_path
) -> None:
    endpoint = cloud.endpoint(servant)
    directory_of(cloud, names, NODE, tmp_path / "n").register(NODE.object_name, *endpoint.address)
    assert directory_of(cloud, names, CLUSTER, tmp_path / "cache").find(NODE.object_name) == endpoint.address
    names.stop()
    restarted = directory_of(cloud, names, CLUSTER, tmp_path / "cache")
    remote = Remote(cloud.identity(CLUSTER), restarted)
    cloud.ends_with(remote.close)
    began = time.monotonic()
    assert remote.call(NODE.object_name, "hello", {}) == {"role": "node"}
    assert time.monotonic() - began < 1.0


def test_a_peer_that_moved_is_found_at_its_new_address(cloud, names, servant, tmp_path) -> None:
    first = cloud.endpoint(servant)
    of_node = directory_of(cloud, names, NODE, tmp_path / "n")
    of_node.register(NODE.object_name, *first.address)
    remote = Remote(cloud.identity(CLUSTER), directory_of(cloud, names, CLUSTER, tmp_path / "cache"))
    cloud.ends_with(remote.close)
    assert remote.call(NODE.object_name, "hello", {})
    first.stop()
    second = cloud.endpoint(servant)
    of_node.register(NODE.object_name, *second.address)
    assert remote.call(NODE.object_name, "hello", {}), "asked again after the failed connect"


def test_another_daemon_at_the_old_address_is_not_taken_for_the_peer_that_moved(
    cloud, names, servant, tmp_path
) -> None:
    of_node = directory_of(cloud, names, NODE, tmp_path / "n")
    stranger = cloud.endpoint(servant, PeerName("node", "open", "host2"))
    of_node.register(NODE.object_name, *stranger.address)
    directory = directory_of(cloud, names, CLUSTER, tmp_path / "cache")
    assert directory.find(NODE.object_name) == stranger.address
    real = cloud.endpoint(servant)
    of_node.register(NODE.object_name, *real.address)
    remote = Remote(cloud.identity(CLUSTER), directory)
    cloud.ends_with(remote.close)
    assert remote.call(NODE.object_name, "hello", {})


def test_a_doubted_address_is_kept_for_want_of_a_better_one(cloud, names, tmp_path) -> None:
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "127.0.0.1", 9001)
    directory = directory_of(cloud, names, NODE, tmp_path / "cache")
    directory.find("euca.cluster.open")
    names.stop()
    directory.forget("euca.cluster.open")
    assert directory.find("euca.cluster.open") == ("127.0.0.1", 9001)


def test_a_silent_name_server_is_waited_for_once_and_then_not_for_a_while(
    cloud, tmp_path, monkeypatch
) -> None:
    import socket

    monkeypatch.setattr(directory_module, "ASK_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        directory = Directory(cloud.identity(NODE), silent.getsockname(), tmp_path / "cache")
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(EucaError, match=r"no address of euca\.cloud is known"):
                directory.find("euca.cloud")
        assert time.monotonic() - began < 1.2


def test_a_configured_address_needs_no_name_server(cloud, tmp_path) -> None:
    directory = Directory(cloud.identity(NODE), None, tmp_path / "cache", {"euca.cloud": ("10.0.0.1", 5)})
    assert directory.find("euca.cloud") == ("10.0.0.1", 5)
    with pytest.raises(EucaError, match="none is configured"):
        directory.find("euca.cluster.open")


def test_a_damaged_cache_is_said_and_not_fatal(cloud, names, tmp_path, caplog) -> None:
    (tmp_path / "cache").write_text('{"euca.cloud": 7')
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "127.0.0.1", 9001)
    directory = directory_of(cloud, names, NODE, tmp_path / "cache")
    assert "cannot be read" in caplog.text
    assert directory.find("euca.cluster.open") == ("127.0.0.1", 9001)


def test_all_names_can_be_listed(cloud, names, tmp_path) -> None:
    directory_of(cloud, names, CLUSTER, tmp_path / "a").register("euca.cluster.open", "127.0.0.1", 9001)
    remote = Remote(cloud.identity(PeerName("admin")), Fixed({"euca.nameserver": ("127.0.0.1", names.port)}))
    cloud.ends_with(remote.close)
    assert remote.call("euca.nameserver", "names", {}) == {
        "names": {"euca.cluster.open": ["127.0.0.1", 9001]}
    }


def test_the_settings_file_of_the_checkout_is_right() -> None:
    assert read_settings(Path(__file__).parents[3] / "nameserver.conf") == Settings()


def test_settings_are_refused_by_name(tmp_path) -> None:
    conf = tmp_path / "nameserver.conf"
    conf.write_text('storrage = "x"\n')
    with pytest.raises(EucaError, match="no setting 'storrage'; did you mean storage"):
        read_settings(conf)
    conf.write_text('port = "x"\n')
    with pytest.raises(EucaError, match="port must be of type int"):
        read_settings(conf)
    conf.write_text("port = 99999\n")
    with pytest.raises(EucaError, match="out of range"):
        read_settings(conf)
    conf.write_text("address = '10.1.2.3'\nport = 99\n")
    assert read_settings(conf) == Settings(address="10.1.2.3", port=99)
