"""A backbone, adapted to a task by a strategy: a plain `torch` module, for any loop of training or none.

model = AdaptedModel(TransformersBackbone("bert-base-uncased"), LoRA(rank=8), glue_task("sst2"))
batch = model.batch(["a fine film .", "dull"], labels=[1, 0])
model.loss(batch).backward()
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding.encoding import Encoding, Pairs
from lm_lab.data.encoding.template import with_template
from lm_lab.errors import UsageError
from lm_lab.heads import HeadKind, build_head
from lm_lab.heads.scorers import kind_of
from lm_lab.models import delta, disabling, texts
from lm_lab.models.modes import freeze_modes, trained_names
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import Task
from lm_lab.tokens import MARKED


class AdaptedModel(nn.Module):
    """A backbone, what a strategy adds to it or trains of it, and the head that a task asks for.

    Args:
        backbone: gives the hidden states; changed in place by the strategy.
        strategy: what is frozen, what is added, which layer is read, with which head.
        task: outputs, loss and metrics.
        pooling: cls, mean, max, last, attention, which learns what to look at, or lstm, which reads all tokens; None
            takes the family's (cls for encoders, last for decoders), and mean where words are marked. Where every
            token has its scores, lstm alone makes a difference.
        pairs: "cross_encoder" encodes a pair as one sequence; "bi_encoder" encodes each text alone and the head reads
            [u, v, |u - v|, u * v], which sentence-tuned backbones need; "both_orders" encodes a pair in both orders
            and adds the two vectors, as GPT does for similarity.
        head: "linear", "no_bias", a linear one as decoders' classifiers in `transformers` are, or "mlp": BERT's pooler
            and its classifier. None takes the strategy's own.
        delimiter: text between the two texts of one sequence. None takes what the tokenizer puts there, and GPT's " $ "
            where it puts nothing. A decoder's sequences end with an end token, which it is read at.
        frozen_dropout: keep dropout on in frozen parts of the backbone too.

    Attributes:
        trained: names of the parameters that train.
        fingerprint: of the backbone as it was, before any of it trains.
        read_by: the data module that the model is bound to, as plain data; None before `bind`.

    Raises:
        UsageError: the strategy cannot adapt this family, or trains nothing.
    """

    def __init__(
        self,
        backbone: Backbone,
        strategy: AdaptationStrategy,
        task: Task,
        pooling: Pooling | None = None,
        pairs: Pairs = "cross_encoder",
        head: HeadKind | None = None,
        delimiter: str | None = None,
        frozen_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.fingerprint = backbone.fingerprint
        strategy = strategy.given_labels(task.labels)
        strategy.apply(backbone)
        self.backbone, self.strategy, self.task = backbone, strategy, task
        self.pooling: Pooling = pooling or ("mean" if task.marked else backbone.pooling)
        self.pairs, self.delimiter, self.frozen_dropout = pairs, delimiter, frozen_dropout
        self.head = build_head(backbone, strategy, task, self.pooling, pairs, head)
        self.head_kind = head or kind_of(self.head)
        self.trained = trained_names(self)
        if not self.trained and strategy.trains:
            raise UsageError(
                f"{type(strategy).__name__} trains nothing here: a {backbone.kind} writes with the output "
                "layer that it was pretrained with; use a strategy that adapts the backbone."
            )
        self.read_by: dict[str, Any] | None = None
        self.pretrained: dict[str, Tensor] = {}  # what `disabled` has read again

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Scores (b, outputs), or (b, t, outputs); for a text to be written, (n, V) of the targets' real tokens."""
        return self.head.scores(self.backbone, batch)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The task's mean loss of a batch."""
        return self.task.loss(self(batch), batch)

    def features(self, batch: dict[str, Any]) -> Tensor:
        """What the head reads of a batch."""
        return self.head.features(self.backbone, batch)

    def outputs(self, batch: dict[str, Any]) -> Any:
        """What a task judges: scores, or the texts that were written."""
        return self.head.outputs(self.backbone, batch, self.task)

    def train(self, mode: bool = True) -> "AdaptedModel":
        """Train mode for what is trained; frozen parts of the backbone stay in eval mode."""
        super().train(mode)
        if mode and not self.frozen_dropout:
            freeze_modes(self.backbone)
        return self

    def batch(self, given: Sequence[texts.Text], labels: Sequence[float] | None = None) -> dict[str, Any]:
        """A batch of texts, or pairs of texts, for `forward` and `loss`; arguments and errors as of `texts.batch`."""
        return texts.batch(self, given, labels)

    def predict(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """What the task answers to each example, in words; arguments and errors as of `texts.predict`."""
        return texts.predict(self, examples)

    def disabled(self) -> AbstractContextManager[None]:
        """A context in which the backbone computes what it did when it was loaded; errors as of `disabling`."""
        return disabling.disabled(self)

    @property
    def encoding(self) -> Encoding:
        """How this model wants its tokens: what `bind` gives to a data module."""
        backbone = self.backbone
        tokenizer = with_template(backbone.tokenizer, self.delimiter, extract=backbone.causal)
        own = Encoding(
            tokenizer,
            self.pairs,
            backbone.max_length,
            causal=backbone.causal,
            segments=backbone.segments,
            asks=(*backbone.asks, *([MARKED] if self.task.marked else [])),
        )
        return self.head.encoding(own)

    def layer_weights(self) -> list[float]:
        """What a mix of layers gives to each, summing to 1; empty where one layer is read."""
        return [] if self.head.mix is None else self.head.mix.weights.detach().softmax(0).tolist()

    def finish(self) -> None:
        """Drop what only training needs, such as the MLP of prefix tuning."""
        self.strategy = self.strategy.finish(self.backbone)
        self.trained = trained_names(self)

    def save(self, folder: str | Path) -> Path:
        """Write the delta and the head; errors as of `delta.save`."""
        return delta.save(self, folder)

    def load(self, folder: str | Path) -> None:
        """Load a delta of a model that was built in the same way; errors as of `delta.load`."""
        delta.load(self, folder)

    def merge(self) -> None:
        """Fold the delta into the backbone's weights. Raises `UsageError` where the method cannot."""
        self.strategy.merge(self.backbone)
