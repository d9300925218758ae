"""What every module of one or two texts a row has in common, wherever its rows come from."""

from lm_lab.data.encode_texts import EncodedTexts, encode_texts
from lm_lab.data.encoding import Encoding
from lm_lab.data.module import TaskData
from lm_lab.data.text_rows import TextRows, text_rows
from lm_lab.tasks import TextTask


class TextData(TaskData):
    """One or two texts in, a class or a graded score out."""

    task: TextTask
    carries = True

    def read_text(self) -> TextRows:
        """A text a line, or two with a tab between them."""
        return text_rows(self.lines(self.task.columns))

    def encode_rows(self, rows: TextRows, encoding: Encoding, train: bool) -> EncodedTexts:  # noqa: ARG002
        """One or two texts a row as tokens."""
        return encode_texts(rows, encoding)
