"""Reading YAML: values, lines of mistakes, secrets."""

import contextlib
import pathlib
import traceback
from typing import Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis import config
from services.chassis.config import ConfigError


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    password: pydantic.SecretStr = pydantic.SecretStr("")
    timeout_seconds: float = 1.0
    kind: Literal["a", "b"] = "a"


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    count: int = 0
    enabled: bool = False
    items: tuple[Inner, ...] = ()
    inner: Inner = Inner()


def read(text: str, **environment: str) -> Outer:
    return config.parse(text, Outer, source="mesh.yaml", environment=environment)


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **environment)
    return caught.value.problems


def test_a_variable_that_is_set_is_put_in() -> None:
    assert read("name: x-${WHO}-y", WHO="me").name == "x-me-y"


def test_a_default_stands_in_for_a_variable_that_is_not_set_or_empty() -> None:
    assert read("name: '${WHO:-nobody}'").name == "nobody"
    assert read("name: '${WHO:-nobody}'", WHO="").name == "nobody"
    assert read("name: '${WHO:-nobody}'", WHO="me").name == "me"
    assert read("name: '${WHO:-}'").name == ""


def test_a_missing_variable_is_told_with_its_line_and_why() -> None:
    assert problems("count: 1\nname: ${WHO:?who are you}") == [
        "mesh.yaml:2: the environment variable WHO is not set: who are you"
    ]
    assert problems("name: ${WHO}") == ["mesh.yaml:1: the environment variable WHO is not set"]
    assert problems("name: ${WHO:?}", WHO="") == ["mesh.yaml:1: the environment variable WHO is not set"]


def test_a_required_variable_that_is_set_is_put_in() -> None:
    assert read("name: ${WHO:?why}", WHO="me").name == "me"


def test_several_variables_in_one_value() -> None:
    assert read("name: ${A}/${B:-b}", A="a").name == "a/b"


@pytest.mark.parametrize("value", ["${WHO", "${}", "${1A}", "${WHO-x}", "${WHO:+x}", "${ WHO }"])
def test_what_only_looks_like_a_variable_is_a_mistake(value: str) -> None:
    assert problems(f"name: '{value}'", WHO="me") == [
        "mesh.yaml:1: a variable is written ${NAME}, ${NAME:-default}, ${NAME:?why} or ${file:PATH}"
    ]


def test_a_plain_variable_may_be_a_number_or_a_boolean() -> None:
    read_back = read("name: x\ncount: ${N}\nenabled: ${ON}", N="7", ON="true")
    assert (read_back.count, read_back.enabled) == (7, True)


def test_a_quoted_variable_stays_text() -> None:
    assert read("name: '${N}'", N="7").name == "7"


@pytest.mark.parametrize("value", ["[1, 2]", "{a: 1}", "a: b", "&x y", "# no comment", "'", "- x", "!!int x"])
def test_a_variable_never_becomes_structure(value: str) -> None:
    assert read("name: ${V}", V=value).name == value


def test_an_unknown_key_is_told_with_its_line_and_the_one_that_was_meant() -> None:
    assert problems("name: x\ninner:\n  timeout_second: 3\n") == [
        "mesh.yaml:3: `inner.timeout_second` is not known; did you mean `timeout_seconds`?"
    ]
    assert problems("name: x\nzzzzzz: 3\n") == ["mesh.yaml:2: `zzzzzz` is not known"]


def test_a_missing_field_is_told() -> None:
    assert problems("count: 1") == ["mesh.yaml:1: `name` is required"]


def test_a_wrong_type_is_told_with_its_line() -> None:
    (problem,) = problems("name: x\n\ncount: many\n")
    assert problem.startswith("mesh.yaml:3: `count`: ")
    (problem,) = problems("name: x\nitems:\n- kind: a\n- kind: c\n")
    assert problem.startswith("mesh.yaml:4: `items.1.kind`: ")


def test_a_key_given_twice_is_told_with_its_line() -> None:
    assert problems("name: x\ncount: 1\nname: y\n") == ["mesh.yaml:3: `name` is given twice"]


def test_invalid_yaml_is_told_with_its_line() -> None:
    (problem,) = problems("name: x\ncount: [1\n")
    assert problem.startswith("mesh.yaml:3: not valid YAML: ")


def test_several_problems_are_told_at_once() -> None:
    assert sorted(problem.split(": ")[0] for problem in problems("count: a\nenabled: b\nname: [x]\nextra: 1")) == [
        "mesh.yaml:1",
        "mesh.yaml:2",
        "mesh.yaml:3",
        "mesh.yaml:4",
    ]
    assert len(problems("name: ${A}\ncount: ${B}\ncount: ${C}")) == 4


@pytest.mark.parametrize("text", ["", "# nothing", "---\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert problems(text)[0].startswith("mesh.yaml")


@pytest.mark.parametrize(
    "text",
    [
        '"\\UFFFFFFFF"',
        "[" * 5000,
        "&a [*a]",
        "&a {a: *a}",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)),
        "!!python/object:os.system x",
        "name: !!int x",
        "name: 2026-99-99",
        "name: !!binary é",
        "name: !secret x",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "a: b\n---\nc: d",
        "\x00",
        "just text",
        "- a list",
        "42",
        "name: !!timestamp x",
        "name: !!bool x",
    ],
)
def test_text_that_yaml_trips_over_is_a_config_error(text: str) -> None:
    assert problems(text)


@settings(deadline=None)  # a busy machine is no fault
@given(st.text() | st.text(alphabet="ab:{}[]&*!'\"\\-?|>%@#\n ,01$.~<="))
def test_any_text_is_read_or_is_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read(text)


@settings(deadline=None)  # a busy machine is no fault
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_value_of_a_variable_is_read_or_is_a_config_error(value: str) -> None:
    assert read("name: '${V:-}'", V=value).name == value
    with contextlib.suppress(ConfigError):
        read("name: ${V:-}\ncount: ${V:-}\nenabled: ${V:-}", V=value)


_SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    "text",
    [
        "name: x\ninner: ${SECRET}",
        "name: x\ncount: ${SECRET}",
        "name: x\nitems: ${SECRET}",
        "name: x\ninner: {password: '${SECRET}', kind: '${SECRET}', timeout_seconds: '${SECRET}'}",
        f"name: x\ninner: {{password: [{_SECRET}]}}",
        f"name: x\ninner: {{password: {_SECRET}, bad",
        f"name: x\ninner: {{password: '{_SECRET}\n\tbad: [",
        f"name: {_SECRET}\nname: {_SECRET}",
    ],
)
def test_nothing_secret_is_in_an_error_or_its_traceback(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, SECRET=_SECRET)
    assert _SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_secret_shows_in_no_form_of_the_model() -> None:
    read_back = read("name: x\ninner: {password: '${SECRET}'}", SECRET=_SECRET)
    assert read_back.inner.password.get_secret_value() == _SECRET
    for shown in (repr(read_back), str(read_back), repr(read_back.model_dump()), read_back.model_dump_json()):
        assert _SECRET not in shown


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "missing.yaml", Outer, {})
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "latin.yaml", Outer, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path, Outer, {})


def test_the_environment_of_the_process_is_the_default(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_TEST_NAME", "from the process")
    (tmp_path / "mesh.yaml").write_text("name: ${MESH_TEST_NAME}")
    assert config.load(tmp_path / "mesh.yaml", Outer).name == "from the process"
