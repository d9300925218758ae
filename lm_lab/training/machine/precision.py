"""Which precision a machine can use: bf16 on a processor without bf16 instructions is emulated, and far slower."""

import platform

import torch


def has_fast_bf16() -> bool:
    """True if this machine multiplies bf16 matrices in hardware: an accelerator, or a CPU with AVX512-BF16 or AMX."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.accelerator.is_available():
        return True
    if platform.machine().lower() in {"x86_64", "amd64"}:
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def usable(precision: str | int | None) -> str | int | None:
    """`precision`, or "32-true" in place of bf16 that this machine would have to emulate."""
    return "32-true" if "bf16" in str(precision) and not has_fast_bf16() else precision
