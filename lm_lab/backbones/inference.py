"""Which module of a model plays which role, inferred: from where modules are, what they are called in `transformers`,
their shapes, and one forward pass (`trace.py`). What a row of the family says goes before.

A role that cannot be inferred is missing, with a reason, and a strategy that asks for it is refused by name.
"""

import re
from collections.abc import Iterable
from itertools import chain

from transformers import PreTrainedModel

from lm_lab.backbones import fused, linear_roles, structure
from lm_lab.backbones.families import FamilyRow, Site
from lm_lab.backbones.sites import Part, Sites, linear_sizes, within
from lm_lab.backbones.structure import Layers
from lm_lab.backbones.trace import Run, Trace, trace

Named = tuple[str, Part | None]
Found = dict[str, list[Named]]
_NONE = "no sublayer that ends in a linear layer was found"
_ELSEWHERE = "its attention is not computed by the attention functions of transformers"


def infer(model: PreTrainedModel, row: FamilyRow, width: int, run: Run) -> Sites:
    """All sites of `model`.

    Args:
        model: as it was loaded, on any device.
        row: what is known of its family.
        width: of the residual stream.
        run: calls the model on a few tokens.

    Raises:
        NotImplementedError: on the meta device, where numbers are needed.
        UsageError: the model cannot read token ids alone.
    """
    given = _given(model, row)
    blocks: Layers = (
        [(name,) for name, _ in given["block"]] if "block" in given else structure.layers(model, model.config)
    )
    watched = trace(model, run)
    missing: dict[str, str] = {}
    roles = _places(model, blocks, watched, missing) | linear_roles.infer(model, blocks, watched, missing)
    roles |= _residual(roles, watched, width, missing)
    roles["attention"] = _attention(roles, watched, missing)
    if "qkv" in roles and not given.keys() & {"query", "key", "value"}:
        _split(model, roles, missing, run)
    roles |= given
    order = {name: number for number, (name, _) in enumerate(model.named_modules())}
    kept = {role: sorted(found, key=lambda named: order[named[0]]) for role, found in roles.items() if found}
    final = [name for name, _ in kept.get("final_norm", [])]
    return Sites(kept, missing | _denied(row), blocks, final)


def _places(model: PreTrainedModel, blocks: Layers, watched: Trace, missing: dict[str, str]) -> Found:
    """Blocks, what stands before and behind them, and norms."""
    around = structure.around(model, blocks)
    last = max(map(watched.last, chain(*blocks)), default=len(watched.calls))
    behind = [name for name in around if watched.place(name) > last]
    single = all(len(parts) == 1 for parts in blocks)
    if not single:
        missing["block"] = "no single module is a block; its parts lie in lists of their own"
    return {
        "block": _whole(chain(*blocks)) if single else [],
        "embeddings": _whole(name for name in around if name not in behind),
        "final_norm": _whole(behind),
        "norm": _whole(structure.norms(model)),
    }


def _whole(names: Iterable[str]) -> list[Named]:
    return [(name, None) for name in names]


def _given(model: PreTrainedModel, row: FamilyRow) -> Found:
    """What a row says: for each of its roles, the modules that match."""
    found: Found = {}
    for role in row.sites:
        site = row.site(role)
        names = [name for name, _ in model.named_modules() if site and re.fullmatch(site.pattern, name)]
        found[role] = [(name, _part(model, name, site)) for name in names]
    return found


def _part(model: PreTrainedModel, name: str, site: Site | None) -> Part | None:
    if site is None or site.part is None:
        return None
    (index, of), groups = site.part, model.config.num_attention_heads if site.by_head else 1
    width = linear_sizes(model.get_submodule(name))[1] // of // groups
    return Part(index * width, (index + 1) * width, groups)


def _denied(row: FamilyRow) -> dict[str, str]:
    return {role: "its family's row says so" for role, site in row.sites.items() if site is None}


def _residual(roles: Found, watched: Trace, width: int, missing: dict[str, str]) -> Found:
    """What leaves a sublayer last: behind its last projection, a dropout or a norm that reads nothing else."""
    found: Found = {}
    for role, source in (("attn_residual", "attn_out"), ("mlp_residual", "mlp_out")):
        names = [_leaves(name, watched) for name, _ in roles.get(source, [])]
        if source not in roles:
            missing[role] = missing.get(source, _NONE)
            continue
        widths = {call.output.shape[-1] for call in watched.calls if call.name in names and call.output is not None}
        if widths <= {width}:
            found[role] = _whole(names)
        else:
            missing[role] = f"its sublayers give states {max(widths - {width})} wide, the residual stream is {width}"
    return found


def _leaves(name: str, watched: Trace) -> str:
    """The last module of a sublayer that `name` projects out of."""
    while readers := watched.readers(watched.place(name)):
        following = [call.name for call in readers if _passes(call.name, watched)]
        if not following or watched.count(following[0]) != watched.count(name):  # one dropout may serve two sublayers
            break
        name = following[0]
    return name


def _passes(name: str, watched: Trace) -> bool:
    return watched.kinds[name] in ("dropout", "norm")


def _attention(roles: Found, watched: Trace, missing: dict[str, str]) -> list[Named]:
    """Modules that attend by `transformers`' functions, in the plain formula."""
    odd = set[str]().union(*watched.attended.values())
    values = [name for name, _ in [*roles.get("value", []), *roles.get("qkv", [])]]
    names = [name for name in watched.attended if any(within(value, name) for value in values)]
    if not names or odd:
        missing["attention"] = (
            f"its attention has more than the plain formula ({', '.join(sorted(odd))})" if odd else _ELSEWHERE
        )
        return []
    return _whole(names)


def _split(model: PreTrainedModel, roles: Found, missing: dict[str, str], run: Run) -> None:
    """Add the query, key and value of every fused projection; all have the order of the first."""
    names, outs = [name for name, _ in roles["qkv"]], [name for name, _ in roles.get("attn_out", [])]
    first, out = model.get_submodule(names[0]), model.get_submodule(outs[0]) if outs else None
    found = fused.parts(model, first, out, run) if out is not None else None
    same = {linear_sizes(model.get_submodule(name)) for name in names} == {linear_sizes(first)}
    for role in ("query", "key", "value"):
        if found and same:
            roles[role] = [*roles.get(role, []), *((name, found[role]) for name in names)]
        else:
            missing[role] = f"which outputs of {names[0]} are {role} is not known; the role qkv takes it whole"
