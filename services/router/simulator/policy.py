"""A policy by its name and parameters, as it is named on the command line: `adaptive:own_weight=4,learn=false`."""

from typing import NamedTuple, Self

import yaml


class PolicyError(Exception):
    """The text names no policy; the message says why."""


class Policy(NamedTuple):
    """A strategy's name, and settings other than its defaults, in the order of their names."""

    name: str
    settings: tuple[tuple[str, object], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `NAME[:key=value,…]`; values are read as YAML reads them.

        Raises:
            PolicyError: there is no name, or a setting without a value.
        """
        name, _, rest = text.strip().partition(":")
        if not name:
            raise PolicyError(f"`{text}`: a policy is NAME or NAME:key=value,key=value")
        settings: dict[str, object] = {}
        for part in filter(None, rest.split(",")):
            key, given, value = part.partition("=")
            if not given or not key.strip():
                raise PolicyError(f"`{text}`: `{part}` should be key=value")
            settings[key.strip()] = _value(text, value)
        return cls(name, tuple(sorted(settings.items())))

    def __str__(self) -> str:
        told = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}:{told}" if told else self.name


def _value(text: str, value: str) -> object:
    try:
        read: object = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"`{text}`: `{value}` is no value") from error
    if isinstance(read, str):
        try:
            return float(read)  # an exponent, which YAML takes for a word where it has no point
        except ValueError:
            pass
    return read
