"""What docs/clients.md says of suites by others, as data for the tests that hold it to it."""

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "clients.md"
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.MULTILINE)


def off_by_the_documents() -> dict[str, set[str]]:
    """What LangChain's suite for chat models is told to leave out, and which of its tests are skipped for it."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## LangChain")[2].partition("\n## ")[0]
    return {flag: set(re.findall(r"`(test_\w+)`", tests)) for flag, tests in _ROW.findall(section)}
