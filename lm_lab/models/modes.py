"""Which parts of a backbone run in train mode: what is trained whole; all else is frozen and stays in eval mode."""

from torch import nn

from lm_lab.strategies.base import Delta


def freeze_modes(module: nn.Module) -> None:
    """Put every part of `module` into eval mode whose own parameters are not all trained; deltas keep their mode.

    Dropout regularises what is trained: a frozen block's dropout would only add noise to its features and, on a
    CPU, cost more than half of its forward pass.
    """
    if isinstance(module, Delta):
        return
    own = _own_parameters(module)
    if own and all(parameter.requires_grad for parameter in own):
        return
    module.training = False
    for child in module.children():
        freeze_modes(child)


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of `module` and its children that no delta has added."""
    if isinstance(module, Delta):
        return []
    own = [parameter for parameter in module._parameters.values() if parameter is not None]
    return own + [parameter for child in module.children() for parameter in _own_parameters(child)]


def trained_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that require a gradient."""
    return frozenset(name for name, parameter in module.named_parameters() if parameter.requires_grad)
