"""`python -m tests.contract.matrix`: docs/providers.md, out of the suite's own table."""

import pathlib
from collections.abc import Sequence

from services.cli.verify.feature import Feature
from services.cli.verify.features import FEATURES
from tests.contract.faults import FAULTS, Fault
from tests.contract.subject import Subject
from tests.contract.subjects import COLUMNS

FILE = pathlib.Path(__file__).parents[2] / "docs" / "providers.md"
_HEAD = """# Providers

What each kind of provider does, as one suite of tests shows it. `make providers` writes this page out of the table of
that suite, `tests/contract`; a test fails when it is not what the suite says.

- **yes**: a test passes.
- **refused**: a test shows that the request is refused with UNSUPPORTED, naming the parameter and the provider.
- a number: there is no test, and the reason stands below.

A vendor's single model may do less than its column; `capabilities` in the configuration says so, and what is not listed
there is refused by name.

No live vendor could be reached when this was built, so no recording of one is behind this page. Vendors' columns are
shown before servers of our own that speak the vendor's wire protocol (`tests/vendors`), and for the essentials before
programs by others (`make test-clients`). Where there is a network and a key,
`hybrid verify --config FILE --provider NAME --yes` asks the vendor itself for every feature of the first table.
"""
_FEATURES = """
## What can be asked for

The test of a cell is `{test}[<provider>-<row>]`:
`make test-fast ARGS="tests/contract -k openai-tools-parallel"` runs one.
For `vllm` they are in `tests/contract/test_engine.py`: the real engine with SmolLM2-135M-Instruct, at temperature 0,
and with all-MiniLM-L6-v2 for vectors, asked by `hybrid verify`. Pictures, efforts of reasoning and shorter vectors are
up to the model there, and neither of these has them.
"""
_FAULTS = """
## What may go wrong

The test of a cell is `{test}[<provider>-<row>]`.
"""

_EVERYWHERE = """
## In every column

`vllm` has tests of its own for them (`test_what_cannot_be_served_names_its_field`,
`test_a_deadline_ends_the_generation_and_frees_the_engine`).

- `test_the_matrix_claims_what_the_worker_claims`: the first table is what workers announce.
- `test_a_parameter_that_a_model_does_not_have_is_refused_by_name`, whatever else its provider can do.
- `test_a_callers_deadline_has_its_stage_and_frees_the_provider`.
"""


def page() -> str:
    """The whole of the page."""
    notes: list[str] = []
    claimed = _table(FEATURES, notes)
    failing = _table(FAULTS, notes)
    listed = "".join(f"{number}. {note[0].upper()}{note[1:]}.\n" for number, note in enumerate(notes, start=1))
    return "".join(
        (
            _HEAD,
            _FEATURES.format(test="test_what_is_claimed_holds_and_the_rest_is_refused_by_name"),
            claimed,
            _FAULTS.format(test="test_what_goes_wrong_has_its_reason"),
            failing,
            _EVERYWHERE,
            f"\n## Why not\n\n{listed}",
        )
    )


def _table(rows: Sequence[Feature | Fault], notes: list[str]) -> str:
    lines = [f"| row | what | {' | '.join(subject.kind for subject in COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for row in rows:
        cells = [_cell(subject, row, notes) for subject in COLUMNS]
        lines.append(f"| `{row.name}` | {row.what} | {' | '.join(cells)} |")
    return "\n" + "\n".join(lines) + "\n"


def _cell(subject: Subject, row: Feature | Fault, notes: list[str]) -> str:
    reason = subject.reasons.get(row.name)
    if reason is not None:
        note = f"`{subject.kind}`: {reason}"
        if note not in notes:
            notes.append(note)
        return f"({notes.index(note) + 1})"
    if isinstance(row, Fault) or row.offered(subject.claims(embeds=row.embeds)):
        return "yes"
    return "refused"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
