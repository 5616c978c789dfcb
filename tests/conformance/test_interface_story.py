"""One story, told through every interface that is installed, on one running cloud: what a person can do and see, and
what is refused, is the same whichever door is taken.

The cloud runs as a stranger would run it: in an environment of its own, with the project and the example interface each
installed from its wheel and found by their entry points; nothing of this checkout is on its path.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="module")
def python(installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an environment with the project and the example."""
    one = installed(tmp_path_factory.mktemp("installed"), EXAMPLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        patch.setenv("PYTHONSAFEPATH", "1")  # `python -m` otherwise looks into the current directory first
        yield one


def told(python: Path, program: str) -> set[str]:
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def cloud(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    base = cloud_process.free_ports()
    settings = SETTINGS.format(rest=base + 7, line=base + 8, limit=LIMIT)
    home = tmp_path_factory.mktemp("story") / "home"
    one = cloud_process.CloudProcess(home, zones=1, nodes=1, settings=settings, port=base, python=python)
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


def test_it_is_the_wheels_that_are_installed(python: Path) -> None:
    files = told(
        python,
        "import euca_rpc, euca_ec2, euca_rest, euca_line\n"
        "print(*(it.__file__ for it in (euca_rpc, euca_ec2, euca_rest, euca_line)))",
    )
    assert len(files) == 4
    assert all(Path(file).is_relative_to(python.parents[1]) for file in files), files


def test_every_installed_interface_has_an_adapter(python: Path) -> None:
    names = told(
        python,
        "from importlib.metadata import entry_points\n"
        "print(*(point.name for point in entry_points(group='euca.interfaces')))",
    )
    assert names == {"ec2", "rest", "line", "portal"}
    pages = {"portal"}  # for people: its story is told with a browser
    assert names - pages == {adapter.entry_point for adapter in adapters.ADAPTERS.values()}


def test_the_running_cloud_found_them_by_their_entry_points(cloud: Any) -> None:
    log = cloud.log("cloud")
    for name in ("ec2", "rest", "line"):
        assert f"interface {name} is open" in log
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in cloud.daemons.values()]
    assert set(commands) == {str(cloud.python).encode()}


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
