"""YAML from strangers ends in plain data or in one line, in seconds."""

import math
from pathlib import Path

import pytest

from lm_lab.errors import UsageError
from lm_lab.yaml_files import MOST_BYTES, parse_yaml, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("no", "no"), ("on", "on"), ("true", True), ("False", False), ("~", None), ("2020-01-01", "2020-01-01")),
        *(("1e-3", 0.001), ("1.0e-3", 0.001), (".5", 0.5), ("3.", 3.0), ("-.inf", -math.inf), ("1_000", 1000)),
        *(("0x10", 16), ("010", "010"), ("1:30", "1:30"), ("-7", -7), ("'1'", "1"), ("1.2.3", "1.2.3"), ("e5", "e5")),
    ],
)
def test_words_are_those_of_yaml_1_2(word: str, value: object) -> None:
    assert parse_yaml(f"key: {word}", "text") == {"key": value}


def test_aliases_and_merges_are_read_in_reason() -> None:
    assert parse_yaml("x: &x {a: 1}\ny: {<<: *x, a: 2}\nz: *x", "text") == {"x": {"a": 1}, "y": {"a": 2}, "z": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "stands for more than 100,000 values"),
        ("a: &a [*a]", "holds itself"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\na: 2", "the key 'a' comes twice, line 1"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("!!set {a, b}", "holds a set"),
        ("a: !!binary aGk=", "holds a bytes"),
        (f"a: {'9' * 5000}", "is not valid YAML"),
        ("{[1]: 2}", "unhashable"),
        ("- a\n---\n- b", "another document"),
        ("a: *b", "undefined alias 'b', line 1, column 4"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_what_is_no_plain_data_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        parse_yaml(text, "the suite 's.yaml'")
    assert str(found.value).startswith("the suite 's.yaml' ")
    assert "\n" not in str(found.value)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with pytest.raises(UsageError, match=r"the suite '.*' cannot be read: Is a directory"):
        read_yaml(tmp_path, "suite")
    path.write_bytes(b"name: caf\xe9")
    with pytest.raises(UsageError, match="is not UTF-8: byte 9 is 0xe9"):
        read_yaml(path, "suite")
    path.write_bytes(b"\xef\xbb\xbfname: x")
    assert read_yaml(path, "suite") == {"name": "x"}
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(UsageError, match="more than 500,000 bytes"):
        read_yaml(path, "suite")
