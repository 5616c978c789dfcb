"""The test image without booting it (tests/conformance/test_host.py does): sound, reproducible, made without root."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.images import newc
from euca_rpc.images.inspection import inspect
from euca_rpc.images.test_image import MODULES, TestImage, build, driver_files, kernel, module_name

try:
    VERSION, _ = kernel(os.uname().machine)
except EucaError as error:
    pytest.skip(error.sentence, allow_module_level=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> TestImage:
    return build(tmp_path_factory.mktemp("image"))


def debugfs(image: TestImage, command: str) -> str:
    tool = shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin")
    assert tool is not None
    done = subprocess.run([tool, "-R", command, str(image.disk)], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_disk_is_a_sound_file_system_with_room_to_grow(image: TestImage, tmp_path: Path) -> None:
    env = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    assert subprocess.run(["e2fsck", "-fn", str(image.disk)], env=env, capture_output=True).returncode == 0
    grown = shutil.copyfile(image.disk, tmp_path / "grown")
    os.truncate(grown, 2 << 30)
    subprocess.run(["resize2fs", "-f", str(grown)], env=env, check=True, capture_output=True)
    assert subprocess.run(["e2fsck", "-fn", str(grown)], env=env, capture_output=True).returncode == 0
    assert grown.stat().st_blocks * 512 < 64 << 20  # sparse


def test_it_opens_to_keys_alone(image: TestImage) -> None:
    assert "Mode:  0700" in debugfs(image, "stat /root")
    assert debugfs(image, "cat /etc/shadow").startswith("root:*:")
    assert "dropbear -F -s " in debugfs(image, "cat /etc/inittab")  # -s: no passwords
    assert "getty" not in debugfs(image, "cat /etc/inittab")
    assert "host_key" not in debugfs(image, "ls /etc/dropbear")  # each instance makes its own


def test_the_ramdisk_holds_the_drivers_in_the_order_of_need(image: TestImage) -> None:
    unpacked = gzip.decompress(image.ramdisk.read_bytes())
    listed = subprocess.run(["cpio", "-it", "--quiet"], input=unpacked, capture_output=True, check=True)
    names = listed.stdout.decode().split()
    assert {"init", "bin/busybox", "bin/sh", "dev/console", "modules/order"} <= set(names)
    order = [path.name for path in driver_files(Path("/lib/modules") / VERSION)]
    assert [name.removeprefix("modules/") for name in names if name.endswith(".ko")] == order
    loaded: set[str] = set()
    needs = {
        module_name(line.partition(":")[0]): {module_name(path) for path in line.partition(":")[2].split()}
        for line in (Path("/lib/modules") / VERSION / "modules.dep").read_text().splitlines()
    }
    for name in map(module_name, order):
        assert needs[name] <= loaded, f"{name} is loaded before what it needs"
        loaded.add(name)
    assert len(loaded) >= len(MODULES)


def test_building_again_gives_the_same_bytes_in_about_a_second(image: TestImage, tmp_path: Path) -> None:
    time.sleep(1.1)  # past the next full second: no file may carry the time it was made
    began, steps = time.monotonic(), []
    again = build(tmp_path, steps.append)
    assert time.monotonic() - began < 5
    assert len(steps) == 3
    for one, other in (
        (image.disk, again.disk),
        (image.kernel, again.kernel),
        (image.ramdisk, again.ramdisk),
    ):
        assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "kernel", "ramdisk"]


def test_its_three_files_pass_inspection(image: TestImage) -> None:
    assert inspect(image.disk, "raw", "machine", image.architecture).virtual_bytes == 16 << 20
    inspect(image.kernel, "raw", "kernel", image.architecture)
    inspect(image.ramdisk, "raw", "ramdisk", image.architecture)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_whoever_builds_it_everything_in_it_is_roots(image: TestImage) -> None:
    place = Path("/tmp") / f"image-{os.getpid()}"
    place.mkdir()
    try:
        os.chown(place, 65534, 65534)
        subprocess.run(
            [
                *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-B", "-c"),
                "import sys; from pathlib import Path; from euca_rpc.images.test_image import build\n"
                "build(Path(sys.argv[1]))",
                str(place),
            ],
            check=True,
            cwd=Path(__file__).parents[2],
        )
        built = TestImage(place / "disk.raw", place / "kernel", place / "ramdisk", "x86_64")
        for name in ("/", "/root", "/etc/shadow", "/bin/busybox", "/bin/sh", "/etc/euca/start"):
            assert "User:     0   Group:     0" in debugfs(built, f"stat {name}"), name
        assert built.disk.read_bytes() == image.disk.read_bytes()
    finally:
        shutil.rmtree(place)


def test_what_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="apt-get install linux-image-cloud-amd64"):
        kernel("x86_64", boot=tmp_path)


def test_the_newest_kernel_that_has_its_drivers_is_taken(tmp_path: Path) -> None:
    for version in ("6.1.0-9-cloud-amd64", "6.1.0-10-cloud-amd64", "6.1.0-11-cloud-amd64"):
        (tmp_path / f"vmlinuz-{version}").touch()
        (tmp_path / version).mkdir()
        if "-11-" not in version:
            (tmp_path / version / "modules.dep").touch()
    assert kernel("x86_64", tmp_path, tmp_path)[0] == "6.1.0-10-cloud-amd64"


def test_archives_are_what_cpio_reads() -> None:
    entries = [newc.directory("d"), newc.file("d/f", b"hello", 0o600), newc.link("d/l", "f")]
    done = subprocess.run(
        ["cpio", "-itv", "--quiet"], input=newc.archive(entries), capture_output=True, check=True, text=False
    )
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["drwxr-xr-x", "-rw-------", "lrwxrwxrwx"]
    assert lines[2].endswith("d/l -> f")
