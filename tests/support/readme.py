"""The code in README and docs: blocks indented by four spaces."""

import re

from tests.support.node import ROOT

PROGRAMS = ("make", "session-cluster", "docker")
_REMARK = re.compile(r" {2,}.*")
_BLOCK = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)


def blocks(page: str) -> list[str]:
    """Return the code blocks of a page, such as "README.md", without their indentation."""
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in _BLOCK.findall((ROOT / page).read_text())]


def commands(program: str, page: str) -> list[str]:
    """Return the commands that begin with `program`, without a remark behind two spaces or more."""
    lines = [line for block in blocks(page) for line in without_remarks(block).splitlines()]
    return [line for line in lines if line.startswith(f"{program} ")]


def without_remarks(block: str) -> str:
    """Return a block without the remarks behind its commands, which stand after two spaces or more."""
    return "\n".join(_REMARK.sub("", line) if line.split(" ")[0] in PROGRAMS else line for line in block.splitlines())
