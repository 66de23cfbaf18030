"""The code in README and docs: blocks indented by four spaces."""

import re

from tests.support.node import ROOT

_BLOCK = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)


def blocks(page: str) -> list[str]:
    """Return the code blocks of a page, such as "README.md", without their indentation."""
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in _BLOCK.findall((ROOT / page).read_text())]


def commands(program: str, page: str) -> list[str]:
    """Return the commands that begin with `program`, without a remark behind two spaces or more."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    return [re.split(r" {2,}", line)[0] for line in lines if line.startswith(f"{program} ")]
