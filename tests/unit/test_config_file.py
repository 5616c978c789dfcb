"""A configuration says what it means or is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from euca_rpc import config
from euca_rpc.config_file import remember
from euca_rpc.errors import EucaError


def write(home: Path, text: str) -> Path:
    (home / config.FILE).write_text(text)
    return home


def refused(home: Path, text: str) -> EucaError:
    with pytest.raises(EucaError) as caught:
        config.load(write(home, text), environ={})
    assert caught.value.symbol == "config_invalid"
    assert str(home / config.FILE) in caught.value.sentence
    return caught.value


def test_defaults_hold_without_a_file(tmp_path: Path) -> None:
    loaded = config.load(tmp_path, environ={})
    assert loaded.listen.address == "127.0.0.1"
    assert loaded.ec2_url == "http://127.0.0.1:8773/services/Eucalyptus"
    assert loaded.nameserver == ("127.0.0.1", 8775)


def test_flag_beats_file_beats_default_and_each_says_so(tmp_path: Path) -> None:
    write(tmp_path, '[listen]\nport = 9000\nadvertise = "cloud.example.org"\n')
    loaded = config.load(tmp_path, {"listen.port": 9100, "listen.address": None}, {})
    assert (loaded.listen.port, loaded.listen.advertise) == (9100, "cloud.example.org")
    origin = {key: where for key, _, where in loaded.values()}
    assert origin["listen.port"] == "flag"
    assert origin["listen.advertise"] == "file"
    assert origin["listen.address"] == "default"
    assert origin["home"] == "flag"


def test_environment_names_the_home_and_a_flag_beats_it(tmp_path: Path) -> None:
    environ = {"EUCA_HOME": str(tmp_path)}
    assert config.load(environ=environ).home == tmp_path
    assert config.load(environ=environ).origins["home"] == "environment"
    assert config.load(tmp_path / "other", environ=environ).home == tmp_path / "other"


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[listen]\nprot = 1\n", "listen.prot", "listen.port"),
        ("[node]\nhypervizor = 'kvm'\n", "node.hypervizor", "node.hypervisor"),
        ("[nodes]\ncores = 1\n", "nodes", "node"),
    ],
)
def test_an_unknown_key_is_an_error_with_the_nearest_one(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    error = refused(tmp_path, text)
    assert f"{key}. Did you mean {nearest}?" in error.sentence
    assert error.facts["nearest"] == nearest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[listen]\nport = '8773'\n", "listen.port must be a whole number, not '8773'"),
        ("[listen]\nport = true\n", "listen.port must be a whole number, not True"),
        ("[up]\nzones = 'a'\n", "up.zones must be a list of texts"),
        ("[node]\nhypervisor = 'vmware'\n", "must be one of auto, kvm, qemu"),
        ("[up]\nzones = ['Zone A']\n", "is not a zone's name"),
        ("[up]\nzones = ['a', 'a']\n", "each once"),
        ("[network]\naddress_pool = '10.0.0.0/8'\n", "must lie in 127.0.0.0/8"),
        ("[listen]\nport = 65535\n", "listen.port must lie between"),
        ("[listen]\nnameserver = 'cloud'\n", "must be host:port"),
        ("listen = 1\n", "listen must be a table"),
        ("[listen\n", "is not valid TOML"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text).sentence


def test_a_whole_number_will_do_for_a_ratio(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, "[node]\ncores_ratio = 2\n"), environ={})
    assert loaded.node.cores_ratio == 2.0


def test_what_was_said_by_flag_is_written_and_read_back(tmp_path: Path) -> None:
    flags = {"listen.port": 9000, "up.zones": ("east", "west"), "node.hypervisor": "simulated"}
    first = config.load(tmp_path, flags, {})
    assert remember(first)
    again = config.load(tmp_path, environ={})
    assert (again.listen, again.up, again.node) == (first.listen, first.up, first.node)
    assert again.origins["up.zones"] == "file"
    assert not remember(again)


def test_remembering_leaves_comments_and_other_settings_alone(tmp_path: Path) -> None:
    write(tmp_path, '# mine\n[up]\nzones = [\n  "old",\n]  # two\nnodes = 2\n[listen]\nport = 1000\n')
    remember(config.load(tmp_path, {"up.zones": ("east",), "listen.address": "127.0.0.2"}, {}))
    again = config.load(tmp_path, environ={})
    assert (again.up.zones, again.up.nodes) == (("east",), 2)
    assert (again.listen.address, again.listen.port) == ("127.0.0.2", 1000)
    text = (tmp_path / config.FILE).read_text()
    assert "# mine" in text
    assert "# two" in text


def test_a_plugins_settings_reach_it_as_they_are(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, "[interface.ec2]\nsigv1 = true\n"), environ={})
    assert loaded.interface["ec2"] == {"sigv1": True}
