"""What the processes of a distributed run tell each other beside gradients."""

from typing import TypeVar

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def gathered(own: T) -> list[T]:
    """What every process has, in the order of their ranks; all of them must ask. Of one process, its own."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    found: list[T] = [own] * distributed.get_world_size()
    distributed.all_gather_object(found, own)
    return found


def leave() -> None:
    """Take the group of processes apart, where there is one, once each has done its work; all of them must ask.

    A group that is left to the end of the interpreter may end the process by a signal: gloo's threads still run then.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def keep_buffers(module: nn.Module) -> None:
    """Keep DDP from sending buffers with every forward pass: none of ours changes in one, and they wait for each other.

    Processes evaluate different numbers of batches, so one of them would wait for ever.
    """
    names = [name for name, _ in module.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, names)
