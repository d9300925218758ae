"""The ledger: what "parameters" means. The head is never silently in or out."""

from lm_lab.strategies.base import Delta
from lm_lab.training import delta
from lm_lab.training.adaptation import Adaptation


def ledger(model: Adaptation) -> dict[str, int]:
    """Counts of an adaptation.

    backbone_trained: parameters of the backbone itself that train; added: parameters of deltas; head: the head's;
    trained: their sum; total: all parameters; delta_bytes: what a saved delta with its head takes.
    """
    added = {id(p) for m in model.backbone.modules() if isinstance(m, Delta) for p in m.parameters()}
    trained = [p for p in model.backbone.parameters() if p.requires_grad]
    counts = {
        "backbone_trained": sum(p.numel() for p in trained if id(p) not in added),
        "added": sum(p.numel() for p in trained if id(p) in added),
        "head": sum(p.numel() for p in model.head.parameters()),
    }
    state = model.state_dict()
    return counts | {
        "trained": sum(counts.values()),
        "total": sum(p.numel() for p in model.parameters()),
        "delta_bytes": sum(state[name].numel() * state[name].element_size() for name in delta.keys(model)),
    }
