"""What every module of one or two texts a row has in common, wherever its rows come from."""

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.texts import EncodedTexts, encode_texts
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.text_rows import TextRows, text_rows
from lm_lab.tasks import TextTask


class TextData(TaskData):
    """One or two texts in, a class or a graded score out."""

    task: TextTask
    carries = True

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A text, or two."""
        return self.task.columns

    def given_rows(self, given: Lines) -> TextRows:
        """A text a row, or two."""
        return text_rows(given)

    def encode_rows(self, rows: TextRows, encoding: Encoding, train: bool) -> EncodedTexts:  # noqa: ARG002
        """One or two texts a row as tokens."""
        return encode_texts(rows, encoding)
