"""`euca policy new`: a package with one policy that works, its tests, and what makes a wheel of it.

    templates/policy/*.txt ─ $name, $module, $distribution ─► DIR/pyproject.toml, DIR/MODULE.py, DIR/tests/test_NAME.py

No cloud is asked: the package is made where its author works.
"""

from __future__ import annotations

import keyword
import re
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from string import Template

from euca_rpc.errors import EucaError
from euca_rpc.policy.loader import GROUP

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def make(name: str, directory: Path) -> list[Path]:
    """The files that were written.  EucaError: a name that is none or taken, a directory that exists."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise EucaError(
            "parameter_invalid",
            f"A policy cannot be called {name[:60]!r}: a small letter, then at most 39 small letters, digits and _, and no"
            " word of Python's own.",
        )
    taken = {point.name: point.value for point in entry_points(group=GROUP)}
    if name in taken:
        raise EucaError(
            "name_duplicate",
            f"There is a policy {name!r} already: {taken[name]} offers it. Choose another name.",
        )
    if directory.exists():
        raise EucaError(
            "name_duplicate", f"{directory} exists already: name another directory, or remove it."
        )
    module = f"euca_policy_{name}"
    words = {"name": name, "module": module, "distribution": module.replace("_", "-")}
    templates = files("euca_rpc.cli") / "templates" / "policy"
    written = []
    for template, path in {
        "pyproject.toml.txt": "pyproject.toml",
        "module.py.txt": f"{module}.py",
        "test.py.txt": f"tests/test_{name}.py",
    }.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template((templates / template).read_text("utf-8")).substitute(words), "utf-8")
        written.append(file)
    return written
