"""Denoising with an encoder-decoder: read a corrupted text, write what is missing or the whole text.

    source, target = corrupt(x)
    h = decoder(start target_1 .. target_m-1 | encoder(source))          (b, u, d), teacher forcing
    loss = mean of cross_entropy(W h_i, target_i) over the real tokens of all targets

Noise sees the words of a text: the tokens that are neither special nor padding. The source keeps the special token in
front that the tokenizer may put there (BART's <s>), and both texts end with the end token; a separator between two
segments is left out.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.errors import UsageError
from lm_lab.objectives.autoregressive.causal_lm import trained_output
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.denoising.sequence_noise import Padded, compact
from lm_lab.tokens import Tokens, end_token

_EVALUATION_SEED = 0


class Denoising(Objective):
    """What all such objectives share; one says what its noise does. In eval mode a batch always gets the same noise.

    Args:
        backbone: an encoder-decoder.

    Raises:
        UsageError: the backbone is none, or its tokenizer has no token that ends a text.
    """

    name: ClassVar[str]
    special: Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        tokenizer = backbone.tokenizer
        if not backbone.encoder_decoder:
            raise UsageError(f"{type(self).__name__} needs an encoder-decoder (t5, bart); {backbone.kind} is none.")
        self.end, self.pad, self.longest = end_token(tokenizer), int(tokenizer.pad_token_id), backbone.max_length
        extra = {id for token, id in tokenizer.get_vocab().items() if token.startswith("<extra_id_")}
        self.register_buffer("special", torch.tensor(sorted(extra | set(tokenizer.all_special_ids))), persistent=False)
        self.output = trained_output(backbone)

    @abstractmethod
    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """From words (b, t) to those of source and target, each with a mask of its real tokens."""

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy on the real tokens of the targets."""
        device = batch["input_ids"].device
        generator = None if self.training else torch.Generator(device).manual_seed(_EVALUATION_SEED)
        source, target = self.corrupt(batch, generator)
        real = target["attention_mask"].bool()
        scored = self.output.factors(self.states(backbone, source, target)[real])
        return Loss.of_states(self.name, scored, target["input_ids"][real])

    def corrupt(self, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> tuple[Tokens, Tokens]:
        """Return source and target of a batch, which is left as it is.

        Args:
            batch: `input_ids` and `attention_mask`, each (b, t).
            generator: on the device of the batch; None uses torch's own.
        """
        source, target = self.noise(*self.words(batch), generator)
        return self.with_special_tokens(source, self._lead(batch)), self.with_special_tokens(target)

    def words(self, batch: Mapping[str, Tensor]) -> Padded:
        """The tokens that are neither special nor padding, moved to the left."""
        ids = batch["input_ids"]
        return compact(ids, batch["attention_mask"].bool() & ~torch.isin(ids, self.special), self.pad)

    def ordinary(self, backbone: Backbone) -> Tensor:
        """Ids that a random token is drawn from, (v,): those of the tokenizer that are not special."""
        return torch.tensor(sorted(set(range(len(backbone.tokenizer))) - set(self.special.tolist())))

    def with_special_tokens(self, rows: Padded, lead: Padded | None = None) -> Tokens:
        """Put a token in front, if there is one, and the end token behind; cut what the model has no positions for."""
        ids, real = rows
        if lead is not None:
            ids, real = torch.cat([lead[0], ids], dim=1), torch.cat([lead[1], real], dim=1)
        ids, real = compact(ids, real & (real.cumsum(dim=1) < self.longest), self.pad)
        ids, real = compact(F.pad(ids, (0, 1), value=self.end), F.pad(real, (0, 1), value=True), self.pad)
        return {"input_ids": ids, "attention_mask": real.long()}

    def states(self, backbone: Backbone, source: Tokens, target: Tokens) -> Tensor:
        """The state (b, u, d) that predicts each token of the target (b, u)."""
        return teacher_forced(backbone, source, {"input_ids": shift_right(target["input_ids"], backbone.start_id)})

    def _lead(self, batch: Mapping[str, Tensor]) -> Padded:
        """The first token of each row, real where it is special and not the end itself."""
        first = batch["input_ids"][:, :1]
        return first, torch.isin(first, self.special) & (first != self.end) & batch["attention_mask"][:, :1].bool()
