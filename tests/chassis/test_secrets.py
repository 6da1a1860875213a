import pathlib

import pydantic
import pytest

from services.chassis import config, secrets


class Model(pydantic.BaseModel):
    key: pydantic.SecretStr
    more: list[str] = []


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "mesh.yaml"
    path.write_text("key: ${file:keys/vendor.key}\n")
    return path


def put(path: pathlib.Path, content: bytes = b"sk-secret\n") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def loaded(path: pathlib.Path, **environment: str) -> str:
    return config.load(path, Model, environment).key.get_secret_value()


def test_a_secret_stands_in_a_file_beside_the_configuration(file: pathlib.Path) -> None:
    put(file.parent / "keys" / "vendor.key")
    assert loaded(file) == "sk-secret"


def test_a_manager_s_directory_takes_its_place(file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    put(file.parent / "keys" / "vendor.key", b"another")
    put(tmp_path / "given" / "vendor.key")
    assert loaded(file, CREDENTIALS_DIRECTORY=str(tmp_path / "given")) == "sk-secret"


def test_what_a_process_was_not_given_is_known_as_such(file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    put(file.parent / "keys" / "vendor.key")
    found = loaded(file, CREDENTIALS_DIRECTORY=str(tmp_path / "given"))
    assert secrets.withheld(found)
    assert "sk-secret" not in found


def test_so_is_a_password_in_the_middle_of_something(file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file.write_text("key: postgresql://ledger:${file:db.password}@db/ledger\n")
    assert secrets.withheld(loaded(file, CREDENTIALS_DIRECTORY=str(tmp_path / "given")))
    put(tmp_path / "given" / "db.password")
    assert not secrets.withheld(loaded(file, CREDENTIALS_DIRECTORY=str(tmp_path / "given")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b" \n", "it is empty"),
        (b"\xff\xfe", "utf-8"),
        (b"x" * 70_000, "at most"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line_and_never_its_content(
    file: pathlib.Path, content: bytes | None, why: str
) -> None:
    if content is not None:
        put(file.parent / "keys" / "vendor.key", content)
    with pytest.raises(config.ConfigError) as raised:
        loaded(file)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{file}:1: the file of a secret, keys/vendor.key, cannot be used: ")
    assert why in problem


def test_a_variable_that_is_named_file_is_still_a_variable(file: pathlib.Path) -> None:
    file.write_text("key: ${file:-none}\n")
    assert loaded(file) == "none"
    assert loaded(file, file="x") == "x"


def test_files_are_named_with_the_places_that_want_them(file: pathlib.Path) -> None:
    file.write_text("key: ${file:a}\nmore: ['${file:b}-${file:c}', '${NAME:-x}', plain]\n")
    assert config.files_named(file) == [(("key",), "a"), (("more", 0), "b"), (("more", 0), "c")]
