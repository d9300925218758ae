"""Plain data and bytes with anything changed."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

WORDS = st.sampled_from(
    ["", "x", "../up", "a/b", "average", "LoRA", "os.system", "rank", "learning_rate", "1e-3", "é\n"]
)
NUMBERS = st.sampled_from([0, 1, -1, 3, 2**31, 2**70, 0.5, -0.0, 1e300, float("nan"), float("inf")])
ANY = st.integers() | st.floats() | st.text(max_size=8)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | ANY
ALIKE: dict[type, Any] = {
    bool: st.booleans(),
    int: st.integers(-2, 9) | st.sampled_from([100, 10**4, 10**9]) | st.integers(),
    float: st.sampled_from([0.0, 0.5, 1.0, 2.0, -0.5, 1e-12, 1e30]) | st.floats(),
    str: WORDS | st.text(max_size=8),
}
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | NUMBERS, inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything inside `value`, of a long list to its first few things."""
    parts = value.items() if isinstance(value, dict) else enumerate(value[:9]) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


def mutated(value: Any, data: st.DataObject, times: int = 2) -> Any:
    """A copy with something in it replaced, by a value of its type or any other, removed, added or renamed."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, times))):
        path = data.draw(st.sampled_from(places(value)))
        if not path:
            continue
        *parents, key = path
        parent = _at(value, parents)
        how = data.draw(st.sampled_from(["alike", "alike", "alike", "replace", "remove", "add", "rename", "repeat"]))
        if how == "remove":
            del parent[key]
        elif how == "alike" and type(parent[key]) in ALIKE:
            parent[key] = data.draw(ALIKE[type(parent[key])])
        elif how in ("alike", "replace") or isinstance(parent, list):
            parent[key] = data.draw(JUNK) if how != "repeat" else [parent[key]] * 2
        elif how == "rename":
            parent[data.draw(WORDS | NUMBERS)] = parent.pop(key)
        else:
            parent[data.draw(WORDS | NUMBERS)] = data.draw(JUNK) if how == "add" else parent[key]
    return value


def retuned(value: Any, data: st.DataObject, times: int = 2) -> Any:
    """A copy with other values of the same types in it: most are taken, and decide on what happens."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, times))):
        plain = [path for path in places(value) if path and type(_at(value, path)) in ALIKE]
        *parents, key = data.draw(st.sampled_from(plain))
        parent = _at(value, parents)
        parent[key] = data.draw(ALIKE[type(parent[key])])
    return value


def _at(value: Any, path: Sequence[Any]) -> Any:
    for step in path:
        value = value[step]
    return value


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Bytes that were cut, zeroed or overwritten somewhere."""
    at = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(1, 60))
    how = data.draw(st.sampled_from(["cut", "zeroed", "random"]))
    if how == "cut":
        return content[:at]
    new = bytes(length) if how == "zeroed" else data.draw(st.binary(min_size=1, max_size=length))
    return content[:at] + new + content[at + len(new) :]
