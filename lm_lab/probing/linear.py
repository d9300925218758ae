"""Linear probes fitted to convergence: logistic regression for classes, ridge regression for graded scores.

min_W  mean_i loss(y_i, W x_i + b) + penalty / 2 ||W||^2        x standardised by the training set, b free
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.probing.lbfgs import minimise

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FEW = 40  # examples below which a tenth of them could not choose
_STEPS, _TOLERANCE = 200, 1e-7
_FEWER, _LOOSER = 60, 1e-4  # of many classes and wide features: a tenth of the time, accuracy within 0.2 points


@dataclass(frozen=True)
class Probe:
    """Standardisation and weights of a fitted probe."""

    mean: Tensor
    std: Tensor
    weight: Tensor  # (outputs, d)
    bias: Tensor  # (outputs,)

    def scores(self, x: Tensor) -> Tensor:
        """x (n, d) -> (n, outputs)."""
        return ((x - self.mean) / self.std) @ self.weight.T + self.bias


def fit(x: Tensor, y: Tensor, classes: int, penalty: float, quick: bool = False) -> Probe:
    """Fit one probe; arguments as of `fit_path`, with one penalty and features (n, d)."""
    return fit_path(x[None], y, classes, (penalty,), quick)[0][0]


def fit_path(x: Tensor, y: Tensor, classes: int, penalties: Sequence[float], quick: bool = False) -> list[list[Probe]]:
    """Fit a probe of each layer with each penalty, all at once.

    Args:
        x: features (layers, n, d).
        y: class ids (n,), or graded scores where `classes` is 0.
        classes: how many classes; 0 for graded scores.
        penalties: on the squared weights.
        quick: in single precision, and stop a logistic regression earlier.

    Returns:
        For each layer, the probes in the order of the penalties.
    """
    x = x.float() if quick else x.double()
    std = x.std(dim=1, correction=0)
    mean, std = x.mean(dim=1), torch.where(std > 1e-6, std, torch.ones_like(std))
    z, strengths = (x - mean[:, None]) / std[:, None], torch.tensor(penalties, dtype=x.dtype, device=x.device)
    weight, bias = _ridge(z, y.to(z), strengths) if not classes else _logistic(z, y.long(), classes, strengths, quick)
    return [
        [Probe(mean[at].float(), std[at].float(), own.float(), free.float()) for own, free in zip(*both, strict=True)]
        for at, both in enumerate(zip(weight, bias, strict=True))
    ]


def select(
    x: Tensor,
    y: Tensor,
    classes: int,
    held_out: float = 0.1,
    penalties: Sequence[float] = PENALTIES,
    quick: bool = False,
) -> float:
    """The penalty that does best on the last tenth of the training examples, which come in random order.

    The strongest one where there are too few to choose.
    """
    if len(x) < FEW:
        return penalties[-1]
    cut = max(1, int(len(x) * (1 - held_out)))
    (path,) = fit_path(x[None, :cut], y[:cut], classes, penalties, quick)
    losses = [loss(probe.scores(x[cut:]), y[cut:], classes) for probe in path]
    return penalties[losses.index(min(losses))]


def loss(scores: Tensor, y: Tensor, classes: int) -> float:
    """Mean cross-entropy in nats, or mean squared error; scores (n, outputs), y (n,)."""
    if classes == 0:
        return F.mse_loss(scores.squeeze(-1), y.float()).item()
    return F.cross_entropy(scores, y.long()).item()


def _ridge(z: Tensor, y: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """z (layers, n, d) -> weights (layers, penalties, 1, d) and biases (layers, penalties, 1)."""
    # features are centred, so the bias is the mean of the scores
    layers, count, width = z.shape
    gram = (z.transpose(1, 2) @ z / count)[:, None] + penalties[:, None, None] / 2 * torch.eye(width).to(z)
    target = (z.transpose(1, 2) @ (y - y.mean()) / count)[:, None].expand(-1, len(penalties), -1)
    weight = torch.linalg.solve(gram, target[..., None])[..., 0]
    return weight[:, :, None], y.mean().expand(layers, len(penalties), 1)


def _logistic(z: Tensor, y: Tensor, classes: int, penalties: Tensor, quick: bool) -> tuple[Tensor, Tensor]:
    """z (layers, n, d) -> weights (layers, penalties, classes, d) and biases (layers, penalties, classes)."""
    layers, count, width = z.shape
    shape = (layers, len(penalties), classes)
    true = F.one_hot(y, classes).to(z)

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        both = point.view(*shape, width + 1)
        weight, bias = both[..., :-1], both[..., -1]
        scores = (z @ weight.flatten(1, 2).transpose(1, 2)).view(layers, count, *shape[1:]) + bias[:, None]
        logs = scores.log_softmax(-1)  # (layers, n, penalties, classes)
        values = -(logs * true[:, None]).sum((1, 3)) / count + penalties / 2 * weight.square().sum((2, 3))
        gaps = ((logs.exp() - true[:, None]) / count).flatten(2)  # (layers, n, penalties classes)
        slopes = (gaps.transpose(1, 2) @ z).view(*shape, width) + penalties[:, None, None] * weight
        free = gaps.sum(1).view(shape)
        return values.flatten(), torch.cat([slopes, free[..., None]], -1).view(len(point), -1)

    start = torch.zeros(layers * len(penalties), classes * (width + 1), dtype=z.dtype, device=z.device)
    limits = (_FEWER, _LOOSER) if quick else (_STEPS, _TOLERANCE)
    found = minimise(objective, start, *limits).view(*shape, width + 1)
    return found[..., :-1], found[..., -1]
