"""YAML from strangers: plain data as JSON has it, with limits on what a few lines may grow to.

An alias is a reference, so nine short lines can stand for a billion values; the reader counts what they stand for
before anyone walks through it. Words are those of YAML 1.2, as JSON's are: `true` and `false` alone are truth values,
so that `no` is a class or a name, and 1e-3 is a number. A key that comes twice is refused: the first would be lost in
silence.
"""

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from lm_lab.errors import UsageError

MOST_BYTES = 500_000
MOST_VALUES = 100_000  # with every alias written out
_NUMBER = r"(\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+"
_KINDS = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][\d_]*)|0x[\da-fA-F]+",
    "float": rf"[-+]?({_NUMBER}|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
_TAG = "tag:yaml.org,2002:"


class _Reader(yaml.SafeLoader):
    """A safe loader of YAML 1.2's words that refuses repeated keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012  a class variable there
        first: [(tag, pattern) for tag, pattern in found if tag.removeprefix(_TAG) not in (*_KINDS, "timestamp")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, whose keys are all different."""
        keys = Counter(self.construct_object(key, deep=True) for key, _ in node.value if key.tag != f"{_TAG}merge")
        if twice := [key for key, times in keys.items() if times > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


for _kind, _pattern in _KINDS.items():
    _Reader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), list("-+0123456789.tTfF"))


def read_yaml(path: str | Path, what: str = "file") -> Any:
    """What the YAML file `path` holds; `what` names it in messages.

    Raises:
        UsageError: it cannot be read, is no UTF-8 or no YAML, is too large, or holds other kinds than JSON's.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the {what} '{path}' cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the {what} '{path}' is not UTF-8: byte {error.start} is {content[error.start]:#x}."
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"the {what} '{path}' has more than {MOST_BYTES:,} bytes; is it a {what}?")
    return parse_yaml(text, f"the {what} '{path}'")


def parse_yaml(text: str, name: str) -> Any:
    """The value that `text` stands for; `name` begins the message of a `UsageError`, as in `read_yaml`."""
    reader = None
    try:
        reader = _Reader(text)
        node = reader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise UsageError(f"{name} stands for more than {MOST_VALUES:,} values, with its aliases written out.")
        value = reader.construct_document(node)
        _require_plain(value, name)
        return value
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is not valid YAML: {_one_line(error)}.") from error
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply, or holds itself.") from None
    except (ValueError, TypeError) as error:  # of a number or a key that Python does not take
        raise UsageError(f"{name} is not valid YAML: {error}.") from error
    finally:
        if reader is not None:
            reader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, aliases written out; one that holds itself ends in a RecursionError."""
    if id(node) not in known:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _require_plain(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for part in (*value, *value.values()):
            _require_plain(part, name)
    elif isinstance(value, list):
        for part in value:
            _require_plain(part, name)
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise UsageError(
            f"{name} holds a {type(value).__name__}, {value!r:.40}; expected text, numbers, true or false."
        )


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{getattr(error, 'problem', None) or str(error).splitlines()[0]}{where}"
