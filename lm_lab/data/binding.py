"""What the data modules of every kind keep of the model that reads them."""

import lightning as L

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.errors import UsageError


class BoundData(L.LightningDataModule):
    """Data whose tokens are those of the model that it is bound to (`lm_lab.bind`)."""

    _reading: Encoding | None = None

    def bind(self, encoding: Encoding) -> None:
        """Keep how the model reads; what was encoded for another one is dropped."""
        self._reading = encoding

    @property
    def reading(self) -> Encoding:
        """How the model reads. Raises `UsageError` if the data is bound to none."""
        if self._reading is None:
            raise UsageError(
                f"{type(self).__name__} does not know which model reads it; before it goes to a Trainer: "
                "from lm_lab import bind; bind(model, data)."
            )
        return self._reading
