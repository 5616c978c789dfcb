"""Writing `euca.toml`: what was said by flag is remembered, so that the next command needs no flags.

The file is a person's as much as ours: comments, order and all other settings stay as they are.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from euca_rpc.config import Config
from euca_rpc.wire.files import write_atomically

HEAD: Final = "# What the daemons need to start.  All settings there are: euca config show --origin\n"


def remember(config: Config) -> bool:
    """True if the file changed."""
    there = config.file.exists()
    old = config.file.read_text("utf-8") if there else HEAD
    text = old
    for key, value, origin in config.values():
        if origin == "flag" and key != "home":
            section, name = key.split(".")
            text = amended(text, section, name, toml(value))
    if text == old and there:
        return False
    tomllib.loads(text)  # never leave a file behind that the next start cannot read
    write_atomically(config.file, text.encode())
    return True


def amended(text: str, section: str, name: str, value: str) -> str:
    """``text`` with ``name = value`` in ``[section]``; a list that spans lines is replaced as a whole."""
    head = re.search(rf"^\[\s*{section}\s*\][^\n]*\n?", text, re.MULTILINE)
    if head is None:
        return f"{text.rstrip()}\n\n[{section}]\n{name} = {value}\n"
    after = text[head.end() :]
    following = re.search(r"^\[", after, re.MULTILINE)
    body, rest = (after[: following.start()], after[following.start() :]) if following else (after, "")
    line = re.compile(rf"^{name}\s*=\s*(\[[^\]]*\]|[^\n#]*)", re.MULTILINE)
    body = line.sub(lambda _: f"{name} = {value}", body) if line.search(body) else f"{name} = {value}\n{body}"
    return text[: head.end()].rstrip("\n") + "\n" + body + rest


def toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else repr(value)
