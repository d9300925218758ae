"""Peak memory of a phase: what CUDA allocated, or the process's resident set on Linux."""

import ctypes
import gc
import resource
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FREE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")  # of a container


def kind(device: torch.device) -> str:
    """What `peak_bytes` measures on `device`."""
    return "cuda allocated" if device.type == "cuda" else "resident set"


def reset_peak(device: torch.device) -> None:
    """Start a new phase."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # the kernel's request to forget VmHWM


def peak_bytes(device: torch.device) -> int:
    """Highest memory in bytes since `reset_peak`; the process's whole life where the system cannot forget."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def free_bytes(device: torch.device) -> float:
    """Memory in bytes that is not taken, by this process or another; infinite where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    known = [float("inf")]
    if _FREE.exists():
        known += [int(line.split()[1]) * 1024 for line in _FREE.read_text().splitlines() if "MemAvailable" in line]
    if all(path.exists() for path in _GROUP):
        most, taken = (path.read_text().strip() for path in _GROUP)
        known += [int(most) - int(taken)] if most != "max" else []
    return min(known)


def release() -> None:
    """Give freed memory back to the system, so that one run in a warm process does not count for the next.

    Some million objects of imported libraries stay for ever; looking through them took a quarter of a second a run.
    """
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
