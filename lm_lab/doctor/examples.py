"""A small instance of each strategy, for checks: one row a strategy."""

from lm_lab import strategies as s
from lm_lab.strategies import AdaptationStrategy

EXAMPLES: dict[str, AdaptationStrategy] = {
    "FullFineTuning": s.FullFineTuning(),
    "FullFineTuning, layer decay": s.FullFineTuning(layer_decay=0.9),
    "PartialFineTuning": s.PartialFineTuning(blocks=1),
    "GradualUnfreezing": s.GradualUnfreezing(),
    "LinearProbe": s.LinearProbe(),
    "MLPProbe": s.MLPProbe(hidden=16),
    "WeightedFeatures": s.WeightedFeatures(),
    "WeightedFeatures, normed and unfrozen": s.WeightedFeatures(norm=True, frozen=False),
    "FeatureBased": s.FeatureBased(size=8, hidden=8),
    "HoulsbyAdapter": s.HoulsbyAdapter(size=8),
    "PfeifferAdapter": s.PfeifferAdapter(size=8),
    "ParallelAdapter": s.ParallelAdapter(size=8),
    "LoRA": s.LoRA(rank=4),
    "LoRA, all layers, rank-stabilised": s.LoRA(rank=4, roles="all", rank_stabilised=True),
    "DoRA": s.DoRA(rank=4),
    "VeRA": s.VeRA(rank=4),
    "IA3": s.IA3(),
    "BitFit": s.BitFit(),
    "LayerNormTuning": s.LayerNormTuning(),
    "RandomMask": s.RandomMask(like=s.LayerNormTuning()),
    "PromptTuning": s.PromptTuning(length=3),
    "PromptTuning, class words": s.PromptTuning(length=3, init="labels"),
    "PrefixTuning": s.PrefixTuning(length=3, hidden=8),
    "PTuningV2": s.PTuningV2(length=3),
    "Combination of prefix and parallel adapter": s.Combination([s.PTuningV2(length=2), s.ParallelAdapter(size=8)]),
    "Combination of LoRA and LayerNormTuning": s.Combination([s.LoRA(rank=2), s.LayerNormTuning()]),
}
