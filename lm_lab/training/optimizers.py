"""Optimisers: torch's own and `transformers.Adafactor` by class path, BERT's Adam here, and the groups they get.

An optimiser is a callable of (parameter groups, learning rate): `AdamW` and `BertAdam` here, `torch.optim.SGD` and
`transformers.Adafactor` all are.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lm_lab.errors import UsageError

OptimizerFactory = Callable[[Iterable, float], Optimizer]


def require_rate(learning_rate: float | None) -> None:
    """Raise `UsageError` for a learning rate below 0 or without end; None is a default."""
    if learning_rate is not None and not 0 <= learning_rate < math.inf:
        raise UsageError(f"learning_rate={learning_rate:g}: expected 0 or more, such as 2e-5.")


def parameter_groups(
    module: nn.Module, learning_rate: float, scale: Callable[[str], float] | None = None
) -> list[dict[str, Any]]:
    """Trainable parameters, those that decay apart from those that do not, those of each learning rate apart.

    Matrices decay; biases and norms (fewer than two dimensions) do not: their groups set `weight_decay` to 0,
    whatever the optimiser's own. `scale` maps a parameter's name to a factor of the learning rate. `hidden` says of
    each parameter whether it is a matrix of a block, which Muon asks.
    """
    blocks = _block_matrices(module)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((scale(name) if scale else 1.0, parameter.dim() >= 2), []).append(parameter)
    return [
        {"params": parameters, "hidden": [id(parameter) in blocks for parameter in parameters]}
        | ({} if decays else {"weight_decay": 0.0})
        | ({} if factor == 1 else {"lr": learning_rate * factor})
        for (factor, decays), parameters in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]


def _block_matrices(module: nn.Module) -> set[int]:
    """Ids of the matrices within a list of modules, such as a Transformer's layers; tables of embeddings are none."""
    inside = {id(part): part for each in module.modules() if isinstance(each, nn.ModuleList) for part in each.modules()}
    matrices = (part.parameters(recurse=False) for part in inside.values() if not isinstance(part, nn.Embedding))
    return {id(parameter) for found in matrices for parameter in found if parameter.dim() == 2}


class AdamW(torch.optim.AdamW):
    """torch's AdamW in its fused form, 7 times faster on a CPU than the default one (Loshchilov & Hutter 2019).

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, fused=True)
        # Lightning takes a fused optimiser to unscale gradients itself and then refuses to clip them
        self._step_supports_amp_scaling = False


class BertAdam(Optimizer):
    """AdamW without bias correction, as BERT was trained (Devlin et al. 2019; Zhang et al. 2021 on what it costs).

        m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2      p <- p - lr (m / (sqrt v + eps) + decay p)

    Its t-th update is (1 - b1^t) / sqrt(1 - b2^t) times the corrected one: 3.16 at t = 1, 6.57 at t = 12.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: decoupled.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        if not (all(0 <= beta < 1 for beta in betas) and 0 <= eps < math.inf and 0 <= weight_decay < math.inf):
            raise UsageError(
                f"betas={betas} eps={eps} weight_decay={weight_decay}: expected betas from 0 to below 1, and no "
                "negative number."
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        b1, b2 = group["betas"]
        state["mean"].lerp_(gradient, 1 - b1)
        state["square"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-group["lr"])
