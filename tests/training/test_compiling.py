"""`compile: auto | true | false | graphs`: losses and gradients stay, one graph whatever the strategy, or a word."""

import copy
import pickle
import shutil
import types
from collections.abc import Iterator

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lm_lab import GLUE, AdaptedModel, bind
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM, ReplacedToken
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task
from lm_lab.training import compiling
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.compiling import PAYS, Compiled, compile_networks, restore, wanted
from lm_lab.training.resuming.settings import deciding

QUICK = ("LoRA", "PromptTuning", "PTuningV2")
LENGTHS = (7, 12, 5, 20, 9, 31)
OFF = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Counting:
    """The backend that makes the graphs of both passes and builds nothing, and counts them."""

    graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example: list) -> object:
        from torch._dynamo.backends.debugging import aot_eager

        self.graphs += 1
        return aot_eager(graph, example)


@pytest.fixture
def backend(monkeypatch) -> Iterator[Counting]:
    backend = Counting()
    monkeypatch.setattr(compiling, "OPTIONS", {"backend": backend})
    yield backend
    torch.compiler.reset()


@pytest.fixture
def no_compiler(monkeypatch) -> Iterator[None]:
    def refuse(graph, example):
        raise RuntimeError("no compiler is found")

    monkeypatch.setattr(compiling, "OPTIONS", {"backend": refuse})
    yield
    torch.compiler.reset()


def batch(length, rows=4):
    ids = torch.randint(5, 100, (rows, length))
    mask = torch.ones_like(ids)
    mask[0, length - 2 :] = 0
    return {"texts": [{"input_ids": ids, "attention_mask": mask}], "labels": torch.arange(rows) % 2}


def gradients(module, loss):
    """The loss, and the gradient of each parameter that has one."""
    torch.manual_seed(0)
    module.zero_grad()
    value = loss()
    value.backward()
    return {"loss": value.detach()} | {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def require_equal(module, losses):
    """Each loss and its gradients, as they are and then through the compiler."""
    plain = [gradients(module, loss) for loss in losses]
    calls = compile_networks(module, required=True)
    found = [gradients(module, loss) for loss in losses]
    restore(calls)
    assert all(call.works for call in calls)
    for own, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)


def require_one_graph(make, backend, family, name):
    model = AdaptedModel(make(family, dropout=0.0), EXAMPLES[name], glue_task("sst2")).train()
    reads = [batch(length) for length in LENGTHS]
    require_equal(model, [lambda read=read: model.loss(read) for read in reads])
    assert backend.graphs == 1


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in EXAMPLES])
def test_every_strategy_is_one_graph_for_all_lengths(make, backend, name):
    require_one_graph(make, backend, "bert", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LoRA", "HoulsbyAdapter", "PTuningV2", "PromptTuning"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bart", "t5"])
def test_a_decoder_and_an_encoder_decoder_are_too(make, backend, family, name):
    require_one_graph(make, backend, family, name)


def test_dropout_draws_what_it_drew(make, backend):
    model = AdaptedModel(make(), EXAMPLES["FullFineTuning"], glue_task("sst2")).train()
    read = batch(9)
    require_equal(model, [lambda: model.loss(read)])


@pytest.mark.parametrize("objective", [MaskedLM, pytest.param(ReplacedToken, marks=pytest.mark.slow)])
def test_objectives(make, backend, objective):
    torch.manual_seed(0)
    backbone = make("bert", dropout=0.0)
    module = nn.ModuleDict({"backbone": backbone, "objective": objective(backbone)}).train()
    reads = [batch(length, rows=8)["texts"][0] for length in LENGTHS]
    require_equal(module, [lambda read=read: module["objective"](backbone, read).total for read in reads])
    assert backend.graphs <= 2


def test_names_copies_and_evaluation_know_nothing_of_it(make, backend):
    model = AdaptedModel(make(), LoRA(), glue_task("sst2")).train()
    names = list(model.state_dict())
    calls = compile_networks(model)
    assert list(model.state_dict()) == names
    assert [name for name, _ in model.named_modules() if "_orig" in name] == []
    assert copy.deepcopy(model).backbone.model._compiled_call_impl is None
    assert pickle.loads(pickle.dumps(model.backbone.model))._compiled_call_impl is None
    with torch.no_grad():
        model(batch(8))
    with FlopCounterMode(display=False):  # looks at each operation, of which a compiler leaves none
        model.loss(batch(8)).backward()
    assert not calls[0].works
    assert backend.graphs == 0


def fit(make, compile, family="bert"):
    torch.manual_seed(0)
    data = GLUE("sst2", source="microworld", train_limit=64, batch_size=16)
    module = adaptation_of(make(family), LoRA(rank=2), data.task, compile=compile)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, **OFF)
    trainer.fit(module, bind(module.model, data))
    return module


def test_a_fit_with_it_is_that_without(make, backend):
    plain, found = fit(make, False), fit(make, True)
    assert (plain.compiled, found.compiled) == (False, True)
    torch.testing.assert_close(dict(found.state_dict()), dict(plain.state_dict()), atol=1e-5, rtol=1e-4)
    assert found.model.backbone.model._compiled_call_impl is None


def test_auto_leaves_short_runs_and_processors_alone(make, backend):
    assert not fit(make, "auto").compiled

    def trainer(device):
        strategy = types.SimpleNamespace(root_device=torch.device(device))
        return types.SimpleNamespace(strategy=strategy, callbacks=[])

    assert wanted("auto", trainer("cuda"), PAYS)
    assert not wanted("auto", trainer("cuda"), PAYS - 1)
    assert not wanted("auto", trainer("cpu"), PAYS)
    assert wanted(True, trainer("cpu"), 1)
    assert not wanted(False, trainer("cuda"), PAYS)


def test_graphs_are_for_a_gpu_and_one_batch_a_step(make, monkeypatch):
    with pytest.raises(UsageError, match="compile: graphs records CUDA graphs, and this fit runs on cpu"):
        fit(make, "graphs")
    strategy = types.SimpleNamespace(root_device=torch.device("cuda"))
    assert wanted("graphs", types.SimpleNamespace(strategy=strategy, accumulate_grad_batches=1), 1)
    with pytest.raises(UsageError, match="accumulate_grad_batches is 2"):
        wanted("graphs", types.SimpleNamespace(strategy=strategy, accumulate_grad_batches=2), 1)
    asked = []
    monkeypatch.setattr(torch, "compile", lambda call, **options: asked.append(options) or call)
    compile_networks(AdaptedModel(make(), LoRA(), glue_task("sst2")), graphs=True)
    assert asked == [{"fullgraph": True, "backend": "inductor", "mode": "reduce-overhead"}]


def test_what_cannot_be_compiled_is_one_line_where_it_is_required(make, no_compiler):
    with pytest.raises(UsageError, match=r"compile: true, but BertModel cannot be compiled here: .*no compiler"):
        fit(make, True)


def test_and_goes_on_with_a_warning_where_it_is_not(make, no_compiler):
    model = AdaptedModel(make(dropout=0.0), LoRA(), glue_task("sst2")).train()
    read = batch(8)
    plain = gradients(model, lambda: model.loss(read))
    calls = compile_networks(model)
    with pytest.warns(UserWarning, match="BertModel goes on without the compiler: .*no compiler"):
        found = gradients(model, lambda: model.loss(read))
    torch.testing.assert_close(found, plain)
    gradients(model, lambda: model.loss(read))  # and says so once: a second warning would be an error
    assert not calls[0].works


def test_a_break_in_the_graph_is_refused_too(make, backend):
    model = AdaptedModel(make(), LoRA(), glue_task("sst2")).train()
    model.backbone.model.register_forward_pre_hook(lambda *_: torch._dynamo.graph_break())
    compile_networks(model)
    with pytest.warns(UserWarning, match="goes on without the compiler"):
        model.loss(batch(8))


def test_many_networks_of_one_process_are_compiled(backend):
    for width in range(2, 14):  # torch gives up after eight that share their code
        call = Compiled(nn.Linear(width, width), required=True)
        call(torch.ones(3, width)).sum().backward()
        assert call.works


def test_what_is_no_model_of_transformers_is_refused(backend):
    with pytest.raises(UsageError, match="is for models of transformers"):
        compile_networks(nn.Linear(2, 2), required=True)
    assert compile_networks(nn.Linear(2, 2)) == []


def test_it_does_not_decide_on_a_result():
    settings = {"model": {"compile": True, "learning_rate": 0.1}}
    assert deciding(settings) == deciding({"model": {"learning_rate": 0.1}})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++: the inductor backend builds C++ on a CPU")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch 2.13 in its own code
def test_the_backend_that_trains(make):
    model = AdaptedModel(make(dropout=0.0), LoRA(), glue_task("sst2")).train()
    reads = [batch(length) for length in LENGTHS[:3]]
    require_equal(model, [lambda read=read: model.loss(read) for read in reads])
    torch.compiler.reset()
