"""Where a method comes from and what kind it is. docs/listed.py writes the lists of strategies from it."""

from dataclasses import dataclass
from typing import Literal, get_args

Group = Literal["fine-tuning", "features", "adapters", "updates", "chosen weights", "prompts", "compounds"]
GROUPS: tuple[Group, ...] = get_args(Group)  # in the order of the lists


@dataclass(frozen=True)
class Paper:
    """The paper that a method is taken from."""

    authors: str
    year: int
    title: str
    url: str
