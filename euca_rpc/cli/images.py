"""`euca add_image`, `remove_image`, `image enable`, `image disable`, `build_test_image`.

    file ─► image server (inspects it) ─► receipt ─► cloud controller (registers what the receipt says)

A file is copied: the source may be deleted.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.output import Output
from euca_rpc.cli.remote import administrator, ask
from euca_rpc.config import Config
from euca_rpc.errors import EucaError
from euca_rpc.images import client
from euca_rpc.images.test_image import build
from euca_rpc.wire.tls import Contexts

FORMATS = ("raw", "qcow2")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def add(
    config: Config,
    output: Output,
    file: Path,
    kind: str,
    name: str,
    format: str = "raw",
    architecture: str = "",
    **more: Any,
) -> str:
    """Upload and register one file; its id."""
    context = Contexts(administrator(config)).client
    architecture = architecture or platform.machine()
    with bar(output, f"{kind} {file.name}") as progress:
        task = progress.add_task("", total=file.stat().st_size)
        receipt = client.upload(
            config.images_url,
            context,
            file,
            format,
            kind,
            architecture,
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )
    return str(ask(config, "image_add", {"receipt": receipt["ticket"], "name": name, **more})["id"])


def bar(output: Output, what: str) -> Progress:
    """Only where a person looks at it."""
    columns = (
        TextColumn("  {task.percentage:>3.0f}% " + what),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = output.errors
    return Progress(
        *columns, console=console, transient=True, disable=output.as_json or not console.is_terminal
    )


@click.command(
    "add_image",
    cls=Command,
    help="Register an image. The files are copied: they may be deleted afterwards. A kernel or ramdisk is a file or "
    "the id of one that is registered already. Format and architecture are what you say they are; a file that is "
    "something else is refused, never guessed.",
    examples="euca add_image --disk-image debian.qcow2 --format qcow2 --image-name debian\n"
    "euca add-image --disk-image root.img --kernel-image vmlinuz --ramdisk-image initrd --image-name ttylinux",
)
@click.option(
    "--disk-image", type=FILE, help="The root disk. Without it, the kernel or ramdisk alone is registered."
)
@click.option("--kernel-image", help="A file, or eki-…")
@click.option("--ramdisk-image", help="A file, or eri-…")
@click.option("--image-name", required=True, help="A name of your choosing.")
@click.option(
    "--format", type=click.Choice(FORMATS), default="raw", show_default=True, help="Of the root disk."
)
@click.option("--architecture", help="x86_64, aarch64 …; default: this machine's.")
@click.option("--private", is_flag=True, help="For your own account alone.")
@invocation
def add_image(
    one: Invocation,
    disk_image: Path | None,
    kernel_image: str | None,
    ramdisk_image: str | None,
    image_name: str,
    format: str,
    architecture: str | None,
    private: bool,
) -> None:
    if not (disk_image or kernel_image or ramdisk_image):
        raise click.UsageError("name at least one of --disk-image, --kernel-image, --ramdisk-image")
    config, output = one.config(), one.output
    made = register(
        config,
        output,
        image_name,
        disk_image,
        kernel_image,
        ramdisk_image,
        format=format,
        architecture=architecture or "",
        public=not private,
    )
    if one.as_json:
        output.document(made)
    else:
        output.say("\n".join(f"{kind}\t{id}" for kind, id in made.items()))


def register(
    config: Config,
    output: Output,
    name: str,
    disk: Path | None,
    kernel: str | Path | None,
    ramdisk: str | Path | None,
    *,
    format: str = "raw",
    architecture: str = "",
    public: bool = True,
) -> dict[str, str]:
    """The ids of all that an image consists of: kernel, ramdisk, image."""
    made: dict[str, str] = {}
    for kind, prefix, part in (("kernel", "eki-", kernel), ("ramdisk", "eri-", ramdisk)):
        if part is None:
            continue
        if str(part).lower().startswith(prefix):
            made[kind] = str(part).lower()
            continue
        if not Path(part).is_file():
            raise EucaError(
                "parameter_invalid", f"{part} is neither a file nor the id of a {kind} ({prefix}…)."
            )
        made[kind] = add(
            config, output, Path(part), kind, f"{name}-{kind}", architecture=architecture, public=public
        )
    if disk is not None:
        made["image"] = add(
            config, output, disk, "machine", name, format, architecture, public=public, **dict(made)
        )
    return made


def forget(config: Config, sha256: str, ticket: str) -> None:
    try:
        client.forget(config.images_url, Contexts(administrator(config)).client, sha256, ticket)
    except EucaError as error:
        raise EucaError(
            error.symbol, f"The image is removed, but its bytes are still there. {error.sentence}"
        ) from error


@click.command(
    "remove_image",
    cls=Command,
    help="Take an image out of use. Machines that run from it go on.",
    examples="euca remove_image emi-1a2b3c4d",
)
@click.argument("id")
@invocation
def remove_image(one: Invocation, id: str) -> None:
    config = one.config()
    gone = ask(config, "image_remove", {"id": id})
    if gone.get("forget"):  # nothing needs its bytes any more
        forget(config, gone["sha256"], gone["forget"])
    if one.as_json:
        one.output.document({"id": id, "bytes_deleted": bool(gone.get("forget"))})
    else:
        one.output.say(f"{id} is removed.")


@click.group(
    "image",
    cls=Group,
    help="Keep an image from being launched, and allow it again.",
    examples="euca image disable emi-1a2b3c4d\neuca image enable emi-1a2b3c4d",
)
def image() -> None:
    pass


@image.command("disable", examples="euca image disable emi-1a2b3c4d")
@click.argument("id")
@invocation
def disable(one: Invocation, id: str) -> None:
    """Nobody can launch ID until it is enabled again; its owner and administrators alone still see it. What runs goes on."""
    one.output.facts(ask(one.config(), "image_enable", {"id": id, "enabled": False}))


@image.command("enable", examples="euca image enable emi-1a2b3c4d")
@click.argument("id")
@invocation
def enable(one: Invocation, id: str) -> None:
    """Let ID be launched again, by those who could before."""
    one.output.facts(ask(one.config(), "image_enable", {"id": id, "enabled": True}))


@click.command(
    "build_test_image",
    cls=Command,
    help="Build a small machine image from what Debian installed (busybox, dropbear, the cloud kernel): 16 MB, answers "
    "ssh in seconds. Into DIR, or with --register into the cloud.",
    examples="euca build_test_image ./test-image\neuca build_test_image --register",
)
@click.argument(
    "directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path)
)
@click.option("--register", "into_cloud", is_flag=True, help="Register it as well.")
@click.option("--image-name", default="test", show_default=True)
@invocation
def build_test_image(one: Invocation, directory: Path | None, into_cloud: bool, image_name: str) -> None:
    if not (directory or into_cloud):
        raise click.UsageError("name a DIR, or say --register")
    output = one.output
    with tempfile.TemporaryDirectory(prefix="euca-image-") as scratch:
        with output.step("test image built"):
            image = build(directory or Path(scratch))
        made: dict[str, str] = {}
        if into_cloud:
            with output.step("test image registered"):
                made = register(
                    one.config(),
                    output,
                    image_name,
                    image.disk,
                    image.kernel,
                    image.ramdisk,
                    architecture=image.architecture,
                )
    if directory:
        made |= {
            "disk_file": str(image.disk),
            "kernel_file": str(image.kernel),
            "ramdisk_file": str(image.ramdisk),
        }
    if one.as_json:
        output.document(made)
    else:
        output.say("\n".join(f"{kind}\t{id}" for kind, id in made.items()))
