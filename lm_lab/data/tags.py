"""Token classification as a LightningDataModule: words in, a BIO tag for each out."""

import os
from pathlib import Path
from typing import Any

from lm_lab.data import conll
from lm_lab.data.encode_tags import EncodedTags, encode_tags
from lm_lab.data.encoding import Encoding
from lm_lab.data.module import TaskData
from lm_lab.data.sources import Place, Read, find, read_table
from lm_lab.data.tagged import TAGS, TaggedRows, check, collect
from lm_lab.errors import UsageError
from lm_lab.tasks.entities import OUTSIDE
from lm_lab.tasks.tags import TagTask


def _bio(*kinds: str) -> tuple[str, ...]:
    return (OUTSIDE, *(f"{part}-{kind}" for kind in kinds for part in "BI"))


# the hub's names, and tags in the order of the hub's ids
_PLACES = (
    Place("wnut17", ("wnut17",), "leondz/wnut_17"),
    Place("wikiann_en", ("wikiann_en",), "unimelb-nlp/wikiann", "en"),
    Place("peopledaily_ner", ("peopledaily_ner",), "peoples-daily-ner/peoples_daily_ner"),
)
PLACES = {place.name: place for place in _PLACES}
LABELS = {
    "wnut17": _bio("corporation", "creative-work", "group", "location", "person", "product"),
    "wikiann_en": _bio("PER", "ORG", "LOC"),
    "peopledaily_ner": _bio("PER", "ORG", "LOC"),
}


class TokenClassification(TaskData):
    """Sentences of words with a BIO tag each, judged by the F1 of their entities.

    Args:
        task: wnut17, wikiann_en, peopledaily_ner, `tags` of the microworld, or a name for data of your own.
        source: as in `TaskData`; CoNLL text in a folder is read too.
        labels: tags in the order of their ids; None: the known task's, else those in the training split, O first.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, or limits that leave nothing to train on.
    """

    task: TagTask

    def __init__(self, task: str, source: str | None = None, labels: list[str] | None = None, **settings: Any) -> None:
        self.place = PLACES.get(task) or Place(task, (task,), task)
        found = labels or LABELS.get(task) or self._collected(source, **settings)
        super().__init__(TagTask(Path(task).name, tuple(found), test=(("test", task),)), source, **settings)

    def read(self, split: str, labelled: bool) -> TaggedRows:
        """The checked rows of a split."""
        rows = check(self.task.labels, *read_tagged(self.place, split, self.source, self.columns))
        if labelled and rows.tags is None:
            raise UsageError(
                f"{rows.origin} has no column '{TAGS}', so '{self.task.name}' cannot be trained or scored on the split "
                f"'{split}'; give a tagged one, or name the column: --data.columns '{{{TAGS}: NAME}}'."
            )
        return rows

    def read_text(self) -> TaggedRows:
        """A sentence a line, with spaces between its words."""
        lines = self.lines(("words",))
        return TaggedRows([text.split() for text in lines.column(0)], None, lines.ids, lines.origin)

    def encode_rows(self, rows: TaggedRows, encoding: Encoding, train: bool) -> EncodedTags:  # noqa: ARG002
        """Words as tokens."""
        return encode_tags(rows, self.task.labels.index(OUTSIDE), encoding)

    def settings(self) -> dict[str, Any]:
        """The task, its tags, and the longest sequence."""
        return {"task": self.place.name, "labels": list(self.task.labels), "max_length": self.max_length}

    def _collected(self, source: str | None, columns: dict[str, str] | None = None, **_: Any) -> tuple[str, ...]:
        return collect(*read_tagged(self.place, "train", source, columns))


def read_tagged(place: Place, split: str, source: str | None, columns: dict[str, str] | None = None) -> Read:
    """The table of one split: as `read_table` has it, or from CoNLL text in a folder."""
    root = Path(source or os.environ.get("LM_LAB_DATA") or "hub")
    if root.is_dir() and not find(place, split, root):
        folders = [*(root / folder for folder in place.folders), root]
        if path := conll.find(split, folders):
            return conll.read(path), str(path)
    return read_table(place, split, source, columns)
