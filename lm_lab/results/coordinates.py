"""Where a cell stands: a value on each axis of its suite.

Every suite varies the task, the backbone and the strategy. A strategy may have an axis of its own, its size (LoRA's
rank, an adapter's bottleneck), and a suite may declare any other: the number of training examples, a pretraining step.
Nothing but this file knows how coordinates are put into words.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NotRequired, Self, TypedDict

Value = str | int | float
NAMED = TASK, BACKBONE, STRATEGY = "task", "backbone", "strategy"  # axes that every suite has; their values are names


class Cell(TypedDict):
    """One training run of the grid, as its record keeps it."""

    coordinates: dict[str, Value]  # axis -> value
    knob: str | None  # the axis that is the strategy's size; None for a strategy without one
    tuned: dict[str, Any]  # the settings that are selected, for example {"learning_rate": 1e-3}
    seed: int
    control: bool  # a backbone with random weights, kept to show what pretraining is worth
    race: NotRequired[float]  # of a run that only tells which tuned values go on: the share of training it had


class Coordinates(Mapping[str, Value]):
    """Values on axes; equal and hashed by content.

    Args:
        values: axis -> value.
        knob: the axis among them that is the strategy's size.
    """

    __slots__ = ("_values", "knob")

    def __init__(self, values: Mapping[str, Value], knob: str | None = None) -> None:
        self._values = dict(sorted(values.items()))
        self.knob = knob if knob in self._values else None

    def __getitem__(self, axis: str) -> Value:
        return self._values[axis]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        # a mapping's own builds two dictionaries, and these are keys everywhere
        return self._values == other._values if isinstance(other, Coordinates) else super().__eq__(other)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Coordinates({self._values}, knob={self.knob!r})"

    @property
    def size(self) -> Any:
        """The strategy's size; None without one."""
        return self._values.get(self.knob) if self.knob else None

    @property
    def backbone(self) -> str:
        """The backbone's name, which tables show in a column of its own."""
        return str(self[BACKBONE])

    @property
    def method(self) -> Self:
        """All but the backbone: what a row of a table is called."""
        return self.without(BACKBONE)

    @property
    def line(self) -> Self:
        """All but the backbone and the size, which varies along a curve."""
        return self.without(BACKBONE, self.knob)

    @property
    def place(self) -> Self:
        """All but the strategy and its size: within it, strategies are compared."""
        return self.without(STRATEGY, self.knob)

    def without(self, *axes: str | None) -> Self:
        """The other coordinates."""
        return type(self)({axis: value for axis, value in self.items() if axis not in axes}, self.knob)

    @property
    def words(self) -> list[str]:
        """A word or two for each axis. Names speak for themselves; any other value needs its axis."""
        named = [str(self[axis]) for axis in NAMED if axis in self]
        axes = sorted(self.keys() - {*NAMED}, key=lambda axis: (axis != self.knob, axis))
        return [*named, *(f"{axis} {shown(self[axis])}" for axis in axes)]

    @property
    def label(self) -> str:
        """In words: "rte, bert-mini, lora, rank 8"."""
        return _label(self, self.knob)


@lru_cache(maxsize=2**14)  # a page asks for the same few ten thousand times
def _label(at: Coordinates, _knob: str | None) -> str:  # of equal ones, sizes may be another axis
    return ", ".join(at.words)


def coordinates(cell: Cell) -> Coordinates:
    """Of a cell, its task included."""
    return Coordinates(cell["coordinates"], cell["knob"])


def axis_columns(at: Coordinates) -> dict[str, Any]:
    """Coordinates as columns that are the same for every strategy: its size, and what the size counts, are two."""
    own = at.without(at.knob)
    return {BACKBONE: own.get(BACKBONE), STRATEGY: own.get(STRATEGY), "size": at.size, "knob": at.knob} | dict(own)


def shown(value: object) -> str:
    """A value in words; numbers with the digits that they need."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
