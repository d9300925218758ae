"""Names of earlier versions that a configuration may still hold, and what they are called now."""

import re

RENAMED = {
    "lm_lab.training.ramp.BatchRamp": "lm_lab.training.callbacks.batch_size_warmup.BatchSizeWarmup",
    "BatchRamp": "BatchSizeWarmup",
}
_ANY = re.compile("|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in sorted(RENAMED, key=len, reverse=True)))


def hint(message: str) -> str:
    """What the old names in an error are called now; "" where there is none."""
    found = dict.fromkeys(_ANY.findall(message))
    return "".join(f"; '{name}' is called '{RENAMED[name]}' now" for name in found)
