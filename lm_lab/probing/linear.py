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
_STEPS, _TOLERANCE = 500, 1e-8
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
    """z (layers, n, d) -> weights (layers, penalties, classes, d) and biases (layers, penalties, classes).

    Steps are taken in coordinates u, W^T = R^-1 u, in which the curvature at W = 0 is about 1 in every direction:
    R^T R = z^T z / (n classes) + penalty, of which the first part is shared by all penalties of a layer.
    """
    layers, _, width = z.shape
    true, root = F.one_hot(y, classes).to(z), _root(z, classes, penalties).flatten(0, 1)
    of_layer, strength = torch.arange(layers).repeat_interleave(len(penalties)), penalties.repeat(layers)

    def weights(point: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        both = point.view(-1, classes, width + 1)
        return torch.linalg.solve_triangular(own, both[..., :-1].mT, upper=True).mT, both[..., -1]

    def objective(point: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        roots = root if len(problems) == len(root) else root[problems]
        weight, bias = weights(point, roots)
        apart = [(number, (of_layer[problems.cpu()] == number).nonzero()[:, 0]) for number in range(layers)]
        parts = [(own, _of_layer(z[number], true, weight[own], bias[own])) for number, own in apart if len(own)]
        order = torch.cat([own for own, _ in parts]).argsort()
        values, slopes, free = (torch.cat(each)[order] for each in zip(*(part for _, part in parts), strict=True))
        values = values + strength[problems] / 2 * weight.square().sum((1, 2))
        slopes = slopes + strength[problems, None, None] * weight
        slopes = torch.linalg.solve_triangular(roots.mT, slopes.mT, upper=False).mT
        return values, torch.cat([slopes, free[..., None]], -1).flatten(1)

    start = torch.zeros(len(strength), classes * (width + 1), dtype=z.dtype, device=z.device)
    limits = (_FEWER, _LOOSER) if quick else (_STEPS, _TOLERANCE)
    found = weights(minimise(objective, start, *limits), root)
    weight, bias = (each.unflatten(0, (layers, len(penalties))) for each in found)
    return weight, bias


def _of_layer(z: Tensor, true: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean losses (m,) of weights (m, classes, d) and biases (m, classes), and the gradients of both; z (n, d)."""
    scores = (z @ weight.flatten(0, 1).mT).unflatten(1, bias.shape) + bias
    logs = scores.log_softmax(-1)  # (n, m, classes)
    gaps = ((logs.exp() - true[:, None]) / len(z)).flatten(1)  # (n, m classes)
    losses = -(logs * true[:, None]).sum((0, 2)) / len(z)
    return losses, (gaps.mT @ z).view(weight.shape), gaps.sum(0).view(bias.shape)


def _root(z: Tensor, classes: int, penalties: Tensor) -> Tensor:
    """R (layers, penalties, d, d), upper triangular."""
    gram = (z.mT @ z / (z.shape[1] * classes))[:, None]
    return torch.linalg.cholesky(gram + penalties[:, None, None] * torch.eye(z.shape[2]).to(z), upper=True)
