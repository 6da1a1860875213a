"""What docs/clients.md says of suites by others, as data for the tests that hold it to it."""

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "clients.md"
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.MULTILINE)


def off_by_the_documents() -> dict[str, set[str]]:
    """What LangChain's suite for chat models is told to leave out, and which of its tests are skipped for it."""
    return {flag: set(re.findall(r"`(test_\w+)`", tests)) for flag, tests in _ROW.findall(_section("LangChain"))}


def checks_off_by_the_documents(face: str) -> set[str]:
    """Which of schemathesis' checks are left out before a face: `openai` or `typed`."""
    named = {"openai": ("both faces",), "typed": ("both faces", "the typed API")}[face]
    rows = re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", _section("schemathesis"), re.MULTILINE)
    return {check for checks, of in rows if of in named for check in re.findall(r"`(\w+)`", checks)}


def _section(heading: str) -> str:
    return DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
