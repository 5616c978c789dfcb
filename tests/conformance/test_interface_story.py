"""One story, told through every interface that is installed, on one running cloud: what a person can do and see, and
what is refused, is the same whichever door is taken.

The example interface comes as a stranger's would: built to a wheel, installed beside the project, found by its entry
point.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions, entry_points
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "interface-line"


def _load(name: str, path: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


cloud_process = _load("cloud_process", CHECKOUT / "tests" / "e2e" / "cloud_process.py")
adapters = _load("story_adapters", Path(__file__).parent / "story" / "adapters.py")
eventually = cloud_process.eventually

LIMIT = 3  # machines per account; there is room for one host with four cores
SETTINGS = """\
[cloud]
interfaces = ["ec2", "rest", "line"]

[interface.rest]
port = {rest}

[interface.line]
port = {line}

[node]
cores = 4
memory_mb = 8192
disk_gb = 100

[defaults]
account_instances = {limit}
"""


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, from its wheel, in a place of its own; no network is needed for either."""
    root = tmp_path_factory.mktemp("example")
    offline = ("--no-index", "--no-deps")
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", str(root), str(EXAMPLE))
    (wheel,) = root.glob("*.whl")
    pip("install", *offline, "--target", str(root / "site"), str(wheel))
    return root / "site"


@pytest.fixture(scope="module")
def cloud(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    base = cloud_process.free_ports()
    settings = SETTINGS.format(rest=base + 7, line=base + 8, limit=LIMIT)
    one = cloud_process.CloudProcess(
        tmp_path_factory.mktemp("story") / "home", zones=1, nodes=1, settings=settings, port=base
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
        )
        try:
            one.start()
            one.add_image()
            for user in ("ann", "bob"):
                one.ask("user_add", name=user)
            yield one
        finally:
            one.stop()


@pytest.fixture(params=adapters.ADAPTERS)
def door(request: pytest.FixtureRequest) -> Any:
    return adapters.ADAPTERS[request.param]


def test_every_installed_interface_has_an_adapter(installed: Path) -> None:
    names = {point.name for point in entry_points(group="euca.interfaces")}
    names |= {
        point.name
        for found in distributions(path=[str(installed)])
        for point in found.entry_points.select(group="euca.interfaces")
    }
    assert names >= {"ec2", "rest", "line"}
    assert names == {adapter.entry_point for adapter in adapters.ADAPTERS.values()}


def test_the_running_cloud_found_them_by_their_entry_points(cloud: Any) -> None:
    told = cloud.log("cloud")
    for name in ("ec2", "rest", "line"):
        assert f"interface {name} is open" in told


def test_the_story(door: Any, cloud: Any) -> None:
    image = cloud.add_image()
    ann, bob, stranger = door(cloud, "ann"), door(cloud, "bob"), door(cloud, "ann", wrong_secret=True)
    before = ann.mine()

    # nobody gets in with a wrong key, and nothing is launched that is not there
    assert refusal(stranger.mine) == adapters.NOBODY
    assert refusal(stranger.launch, image, 1, "m1.small") == adapters.NOBODY
    assert refusal(ann.launch, "emi-0badbad0", 1, "m1.small") == adapters.IMAGE
    assert ann.mine() == before

    first, second = ann.launch(image, 2, "m1.small")
    assert ann.seen(first).state in ("pending", "running")
    eventually("both run", lambda: {ann.seen(id).state for id in (first, second)} == {"running"}, 60)
    assert ann.seen(first) == ("running", image, "m1.small", cloud.config.up.zones[0])
    assert ann.mine() == {*before, first, second}
    started = f"simulated machine {first} generation 1 started"
    eventually("its console tells of it", lambda: started in ann.console(first))

    # what is another's is not there
    assert not bob.mine() & {first, second}
    for verb in (bob.seen, bob.console, bob.terminate):
        assert refusal(verb, first) == adapters.MACHINE

    # limits hold, and what is refused takes nothing
    rooms = cloud.rooms()
    assert refusal(ann.launch, image, LIMIT - 1, "m1.small") == adapters.QUOTA
    assert refusal(bob.launch, image, 2, "c1.xlarge") == adapters.ROOM
    assert ann.mine() == {*before, first, second}
    assert cloud.rooms() == rooms

    # who is disabled is refused at once, by whatever proved him a moment ago
    cloud.ask("user_enable", name="ann", enabled=False)
    try:
        assert refusal(ann.mine) == adapters.NOBODY
    finally:
        cloud.ask("user_enable", name="ann", enabled=True)

    for id in (first, second):
        ann.terminate(id)
    eventually("both are gone", lambda: {ann.seen(id).state for id in (first, second)} == {"terminated"}, 60)
    ann.terminate(first)  # once more is no error
    eventually(
        "their room is free", lambda: not any(node["instances"] for node in cloud.nodes().values()), 30
    )


def refusal(verb: Any, *words: Any) -> str:
    """The symbol of the refusal, which must have a sentence."""
    with pytest.raises(adapters.Refusal) as refused:
        verb(*words)
    assert len(refused.value.sentence) > 10
    return str(refused.value.symbol)
