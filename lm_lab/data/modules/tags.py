"""Token classification as a LightningDataModule: words in, a BIO tag for each out."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.tags import EncodedTags, encode_tags
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading import conll
from lm_lab.data.reading.labels import Label, given_labels
from lm_lab.data.reading.lines import Lines, given_lines
from lm_lab.data.reading.sources import Place, Read, find, read_table
from lm_lab.data.reading.tagged import TAGS, TaggedRows, check, collect
from lm_lab.data.reading.texts import UTF_8
from lm_lab.errors import UsageError
from lm_lab.metrics import entity_f1, token_accuracy
from lm_lab.tasks.entities import OUTSIDE
from lm_lab.tasks.names import file_name
from lm_lab.tasks.tags import Scheme, TagTask


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
    """Sentences of words with a tag each, judged by the F1 of the entities that tags spell, or by the words.

    Args:
        task: wnut17, wikiann_en, peopledaily_ner, `tags` of the microworld, or a name for data of your own.
        source: as in `TaskData`; CoNLL text in a folder is read too.
        labels: tags in the order of their ids, which may stand for them; None: the known task's, else those in the
            training split, O first.
        scheme: "entities" for tags of BIO or BIOES; "plain" for others, such as parts of speech.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, or limits that leave nothing to train on.
    """

    task: TagTask
    carries = True

    def __init__(
        self,
        task: str,
        source: str | None = None,
        labels: list[Label] | None = None,
        scheme: Scheme = "entities",
        **settings: Any,
    ) -> None:
        place, name = PLACES.get(task) or Place(task, (task,), task), file_name(task)
        self.place = replace(place, splits=settings.get("splits") or {})
        given = given_labels(labels) or LABELS.get(task)
        self.numbered = bool(given)  # numbers are places in tags that are given, and none in those that are found
        tags = given or self._collected(source, scheme, **settings)
        metrics = (token_accuracy,) if scheme == "plain" else (entity_f1,)
        super().__init__(
            TagTask(name, tuple(tags), metrics=metrics, scheme=scheme, test=(("test", name),)), source, **settings
        )

    def read(self, split: str, labelled: bool) -> TaggedRows:
        """The checked rows of a split."""
        table = read_tagged(self.place, split, self.source, self.columns, self.encoding)
        rows = check(self.task.labels, *table, self.numbered, self.word_columns)
        if labelled and rows.tags is None:
            raise UsageError(
                f"{rows.origin} has no column '{TAGS}', so '{self.task.name}' cannot be trained or scored on the split "
                f"'{split}'; give a tagged one, or name the column: --data.columns '{{{TAGS}: NAME}}'."
            )
        if labelled and split == self.task.train:
            _require_contrast(self.task.labels, rows)
        return rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A sentence, with spaces between its words."""
        return ("words",)

    def given_rows(self, given: Lines) -> TaggedRows:
        """A sentence a row."""
        return TaggedRows([text.split() for text in given.column(0)], None, given.ids, given.origin)

    def read_examples(self, examples: Sequence[Any]) -> TaggedRows:
        """Sentences, each a text with spaces between its words, or a list of words. Raises `UsageError`."""
        sentences = [example.split() if isinstance(example, str) else example for example in examples]
        words = given_lines(sentences, (), more=True)
        return TaggedRows(words.texts, None, words.ids, words.origin)

    def encode_rows(self, rows: TaggedRows, encoding: Encoding, train: bool) -> EncodedTags:  # noqa: ARG002
        """Words as tokens."""
        return encode_tags(rows, self.task.labels.index(OUTSIDE) if OUTSIDE in self.task.labels else 0, encoding)

    def settings(self) -> dict[str, Any]:
        """The task, its tags, and how sentences are cut."""
        plain = {"scheme": self.task.scheme} if self.task.scheme == "plain" else {}
        return {"task": self.place.name, "labels": list(self.task.labels)} | self.cut() | plain

    def _collected(
        self,
        source: str | None,
        scheme: Scheme,
        columns: dict[str, str] | None = None,
        encoding: str = UTF_8,
        **_: Any,
    ) -> tuple[str, ...]:
        return collect(*read_tagged(self.place, "train", source, columns, encoding), scheme)


def _require_contrast(labels: Sequence[str], rows: TaggedRows) -> None:
    """Raise `UsageError` if all words to train on have the same tag."""
    found = {tag for tags in rows.tags or () for tag in tags}
    if len(found) < 2:
        only = f"every tag is '{labels[found.pop()]}'" if found else "there is no word"
        raise UsageError(f"{rows.origin}, column '{TAGS}': {only}; there is nothing to learn from.")


def read_tagged(
    place: Place, split: str, source: str | None, columns: dict[str, str] | None = None, encoding: str = UTF_8
) -> Read:
    """The table of one split: as `read_table` has it, or from CoNLL text in a folder."""
    root = Path(source or os.environ.get("LM_LAB_DATA") or "hub")
    named = place.splits.get(split, split)
    if root.is_dir() and not find(place, named, root):
        folders = [*(root / folder for folder in place.folders), root]
        if path := conll.find(named, folders):
            return conll.read(path, encoding), str(path)
    return read_table(place, split, source, columns, encoding=encoding)
