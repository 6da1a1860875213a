"""That no process of a mesh carries what only a terminal would show."""

import subprocess
import sys

PROGRAM = """
import sys
import services.gateway.__main__, services.router.__main__, services.workers.__main__
assert "structlog" in sys.modules
assert "rich" not in sys.modules and "pygments" not in sys.modules
import rich.console
"""


def test_processes_import_structlog_without_rich_and_others_may_still_have_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
