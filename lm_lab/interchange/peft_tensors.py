"""The tensors of a PEFT adapter by the backbone's module that they change, and those of a head of its own."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from lm_lab.backbones import TransformersBackbone
from lm_lab.errors import UsageError

_KEY = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector|ia3_l)(\.weight)?")
_HEADS = ("classifier", "score")  # what `transformers` calls the heads of its sequence classifiers


class Module(NamedTuple):
    """What is stored of one module: its name in PEFT's model, and its tensors by kind."""

    name: str
    tensors: dict[str, Tensor]

    def take(self, part: str, *shape: int) -> Tensor:
        """The tensor of a kind. Raises `UsageError` if it is missing or of another shape."""
        found = self.tensors.get(part)
        if found is None:
            raise UsageError(f"the adapter has no {part} of {self.name}; is the file whole?")
        if tuple(found.shape) != shape:
            raise UsageError(f"{part} of {self.name} is {list(found.shape)}; expected {list(shape)}.")
        return found


def by_module(
    tensors: Mapping[str, Tensor], backbone: TransformersBackbone, beside: bool = False
) -> tuple[dict[str, Module], dict[str, Tensor]]:
    """Module of the backbone -> its tensors; name in the head -> tensor, none where our own head stands `beside`.

    Raises:
        UsageError: a tensor that belongs to neither, such as a whole module that was trained and saved.
    """
    modules: dict[str, Module] = {}
    head: dict[str, Tensor] = {}
    known = {name for name, _ in backbone.model.named_modules()}
    for key, value in tensors.items():
        name = key.removeprefix("base_model.").removeprefix("model.")
        if found := _KEY.fullmatch(name):
            ours = _ours(found["module"], known, backbone)
            own = modules.setdefault(ours, Module(found["module"], {}))
            if own.name != found["module"] or found["part"] in own.tensors:
                raise UsageError(f"the adapter changes {ours} twice: as {own.name} and as {found['module']}.")
            own.tensors[found["part"]] = value
        elif beside:  # the same head in the form of a task's model
            continue
        elif name.split(".")[0] in _HEADS:
            head[name] = value
        else:
            raise UsageError(
                f"the adapter replaces {name} (modules_to_save, biases or embeddings that were trained), which has no "
                "counterpart here."
            )
    return modules, head


def _ours(name: str, known: set[str], backbone: TransformersBackbone) -> str:
    """The backbone's name of a module; a task's model calls its backbone by a name of its own."""
    for candidate in (name, name.partition(".")[2]):
        if candidate in known and candidate:
            return candidate
    raise UsageError(f"the adapter changes {name}, which {backbone.architecture} does not have.")
