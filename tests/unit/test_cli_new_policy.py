"""`euca policy new`: what is refused, and that nothing is written then.  The tutorial's test builds and runs what it makes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from euca_rpc.cli.main import euca
from euca_rpc.cli.new_policy import make
from euca_rpc.errors import EucaError


@pytest.mark.parametrize(
    "name", ["", "Mine", "my-policy", "7up", "_x", "a/b", "../a", "class", "a" * 41, "µ"]
)
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="A policy cannot be called") as refused:
        make(name, tmp_path / "there")
    assert refused.value.symbol == "parameter_invalid"
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EucaError, match=r"'greedy' already: euca_schedulers\.greedy offers it"):
        make("greedy", tmp_path / "there")
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(EucaError, match="exists already"):
        make("mine", tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir())


def test_the_package_offers_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(euca, ["policy", "new", "by_rack"])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [
        "by_rack/pyproject.toml",
        "by_rack/euca_policy_by_rack.py",
        "by_rack/tests/test_by_rack.py",
    ]
    project = tomllib.loads(Path("by_rack/pyproject.toml").read_text())
    assert project["project"]["name"] == "euca-policy-by-rack"
    assert project["project"]["entry-points"]["euca.schedulers"] == {"by_rack": "euca_policy_by_rack"}
    assert "$" not in "".join(Path(file).read_text() for file in done.output.split())
