"""Reading a YAML file into a validated model, with the line of every mistake."""

import difflib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic
import yaml

from services.chassis import mistake, secrets

Model = TypeVar("Model", bound=pydantic.BaseModel)

# The last alternative is anything else that begins like a variable: a mistake, rather than a strange password.
_VARIABLE = re.compile(
    r"\$\{(?:file:(?P<file>[^}?-][^}]*)\}|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\}|[^}]*\}?)"
)
_DEEPEST = 50
# Of all names of settings: with less of a likeness short ones would be proposed for anything.
_NEAR = 0.65
# What to do about what PyYAML says, by how that begins.
_YAML_ADVICE = {
    "mapping values are not allowed": "look for a wrong indentation, or a colon without a space, here or before",
    "found character '\\t'": "indent with spaces, not with tabs",
    "did not find expected": "look for a wrong indentation, here or before",
    "expected <block end>": "look for a wrong indentation, here or before",
    "could not find expected ':'": "look for a colon without a space behind it, here or before",
}
_MOST_VALUES = 100_000


class ConfigError(Exception):
    """The file cannot be used. Each problem says where it is and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: pathlib.Path, model: type[Model], environment: Mapping[str, str] | None = None) -> Model:
    """Read, interpolate and validate a file.

    `${NAME}` must be set, `${NAME:-default}` may be, `${NAME:?why}` must be and says why. `${file:PATH}` is what a file
    holds: see `services.chassis.secrets`.

    Raises:
        ConfigError: with `file:line: what is wrong` for every problem found.
    """
    return parse(text_of(path), model, source=str(path), environment=environment)


def files_named(path: pathlib.Path) -> list[tuple[mistake.Location, str]]:
    """Where the file says `${file:PATH}`, and each PATH as it stands there.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    found: list[tuple[mistake.Location, str]] = []

    def look(node: yaml.Node, location: mistake.Location) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                look(child, (*location, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                look(child, (*location, index))
        else:
            found.extend((location, match["file"]) for match in _VARIABLE.finditer(node.value) if match["file"])

    look(_composed(text_of(path), str(path)), ())
    return found


def text_of(path: pathlib.Path) -> str:
    """What stands in the file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def parse(text: str, model: type[Model], *, source: str, environment: Mapping[str, str] | None) -> Model:
    """As `load`, from text; `source` names it in errors, and secrets in files are meant from beside it."""
    node = _composed(text, source)
    reader = _Reader(source, os.environ if environment is None else environment)
    data = reader.value(node, ())
    if reader.problems:
        raise ConfigError(reader.problems)
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        details = mistake.worth_telling(error.errors(include_url=False), reader.stands)
        raise ConfigError([reader.located(detail, model) for detail in details]) from None


def _composed(text: str, source: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        # Not `from error`, which quotes the file, and there may be a secret in it.
        raise ConfigError([f"{source}{line}: not valid YAML: {_yaml_mistake(error)}"]) from None
    except (ValueError, OverflowError):  # an escape beyond Unicode, which PyYAML does not check
        raise ConfigError([f"{source}: not valid YAML: an escape stands for no character"]) from None
    except RecursionError:
        raise ConfigError([f"{source}: nested too deeply"]) from None
    if node is None:
        raise ConfigError([f"{source}: the file is empty"])
    return node


def _yaml_mistake(error: yaml.YAMLError) -> str:
    problem, begun = str(getattr(error, "problem", error)), getattr(error, "context_mark", None)
    advice = next((advice for begins, advice in _YAML_ADVICE.items() if problem.startswith(begins)), "")
    if not advice and begun:
        advice = f"look at what begins in line {begun.line + 1}: it may not be closed"
    return f"{problem}; {advice}" if advice else problem


class _Reader:
    """Turns YAML nodes into plain data and remembers the line of every value."""

    def __init__(self, source: str, environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._source = source
        self._environment = environment
        self._lines: dict[tuple[str | int, ...], int] = {}

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        self._lines[path] = node.start_mark.line + 1
        # An alias inside what it stands for never ends, and aliases of aliases grow without bound.
        if len(path) > _DEEPEST or len(self._lines) > _MOST_VALUES:
            self._problem(node, "nested too deeply, or too many values")
            raise ConfigError(self.problems)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # there are only these three
        return self._scalar(node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        loader = yaml.SafeLoader("")
        if "${" in node.value:
            text = self._interpolated(node)
            if node.style:
                return text
            # A value that was plain in the file may become a number or a boolean, but never a list or a mapping.
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
            node = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        try:
            return loader.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError, AttributeError, OverflowError):
            self._problem(node, f"not a valid {node.tag.rpartition(':')[2]}")
            return None

    def _problem(self, node: yaml.Node, what: str) -> None:
        self.problems.append(f"{self._source}:{node.start_mark.line + 1}: {what}")

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, "a key is one word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in data:
                self._problem(key_node, f"`{key}` is given twice")
            data[key] = self.value(child, (*path, key))
            self._lines[(*path, key)] = key_node.start_mark.line + 1
        return data

    def _interpolated(self, node: yaml.Node) -> str:
        def replaced(match: re.Match[str]) -> str:
            name, how, rest = match["name"], match["how"], match["rest"]
            if match["file"] is not None:
                return self._secret(node, match["file"])
            if name is None:
                self._problem(node, "a variable is written ${NAME}, ${NAME:-default}, ${NAME:?why} or ${file:PATH}")
                return ""
            value = self._environment.get(name, "")
            if value or (name in self._environment and how is None):
                return value
            if how == ":-":
                return str(rest)
            why = f": {rest}" if rest else ""
            self._problem(node, f"the environment variable {name} is not set{why}")
            return ""

        return _VARIABLE.sub(replaced, node.value)

    def _secret(self, node: yaml.Node, name: str) -> str:
        try:
            return secrets.read(name, pathlib.Path(self._source).parent, self._environment)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            self._problem(node, f"the file of a secret, {name}, cannot be used: {why}")
            return ""

    def located(self, detail: Any, model: type[pydantic.BaseModel]) -> str:
        location = mistake.place(detail)
        # Discriminators and union branches stand in the location without standing in the file.
        known = tuple(part for index, part in enumerate(location) if self._stands(location, index))
        line = next((self._lines[known[:size]] for size in range(len(known), -1, -1) if known[:size] in self._lines), 1)
        name = ".".join(str(part) for part in known) or "the file"
        if detail["type"] == "extra_forbidden":
            return f"{self._source}:{line}: `{name}` is not known{_hint(str(known[-1]), _field_names(model))}"
        if detail["type"] == "missing":
            return f"{self._source}:{line}: `{'.'.join(str(part) for part in (*known, *location[-1:]))}` is required"
        # What fits nothing else of the file names both itself.
        named = f"`{name}`: " if known and detail["loc"] else ""
        return f"{self._source}:{line}: {named}{mistake.said(detail)}"

    def stands(self, location: mistake.Location) -> bool:
        """Whether the last part of a location stands in the file: a branch of a union does not."""
        return not location or self._stands(location, len(location) - 1)

    def _stands(self, location: tuple[Any, ...], index: int) -> bool:
        prefix = tuple(part for i, part in enumerate(location[:index]) if self._stands(location, i))
        return (*prefix, location[index]) in self._lines


def _hint(key: str, fields: set[str]) -> str:
    if key in fields:
        return " here: it is a setting of another section, or of another kind"
    close = difflib.get_close_matches(key, fields, n=1, cutoff=_NEAR)
    return f"; did you mean `{close[0]}`?" if close else ""


def _field_names(model: type[pydantic.BaseModel]) -> set[str]:
    """Names of all fields in the model and those it is made of."""
    names: set[str] = set()
    for definition in [model.model_json_schema(), *model.model_json_schema().get("$defs", {}).values()]:
        names.update(definition.get("properties", {}))
    return names
