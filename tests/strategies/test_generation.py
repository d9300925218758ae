"""Writing: the search against transformers' own, what is read in one go against token by token, and every strategy."""

import pytest
import torch
import transformers
from tiny_models import CONFIGS

from lm_lab import AdaptedModel
from lm_lab.backbones import TransformersBackbone
from lm_lab.data import microworld
from lm_lab.errors import UsageError
from lm_lab.heads.beam_search import search
from lm_lab.heads.build import generation_head
from lm_lab.strategies import FullFineTuning, LinearProbe, LoRA, PrefixTuning, PromptTuning, PTuningV2
from lm_lab.tasks.sequences import SequenceTask

WITH_HEADS = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration",
}
TASK = SequenceTask("copy", max_target=8)


def texts(lengths=(5, 3, 7), seed=0, low=10):
    """Random tokens, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(low, 200, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.fixture(params=WITH_HEADS)
def whole(request, tmp_path):
    """A whole model of transformers with an output layer, and the backbone that reads its weights."""
    kind, settings = CONFIGS[request.param]
    tokenizer = microworld.tokenizer()
    torch.manual_seed(1)
    config = getattr(transformers, kind)(vocab_size=len(tokenizer), **settings)
    model = getattr(transformers, WITH_HEADS[request.param])(config).eval()
    for parameter in model.parameters():  # far from uniform, so that no rounding decides
        parameter.data *= 3
    model.save_pretrained(tmp_path / request.param)
    tokenizer.save_pretrained(tmp_path / request.param)
    return model, TransformersBackbone(str(tmp_path / request.param)).eval()


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_is_what_transformers_writes(whole, beams):
    model, backbone = whole
    written = generation_head(backbone)
    written.end = 3  # the configuration's
    start = {"decoder_start_token_id": backbone.start_id} if model.config.is_encoder_decoder else {}
    source = texts()
    for row, length in enumerate(
        source["attention_mask"].sum(1).tolist()
    ):  # theirs one by one: no padding to get wrong
        alone = source["input_ids"][row : row + 1, :length]
        theirs = model.generate(
            alone, attention_mask=torch.ones_like(alone), num_beams=beams, max_new_tokens=8, do_sample=False,
            early_stopping=True, eos_token_id=3, pad_token_id=0, forced_eos_token_id=None, **start,
        )[0]  # fmt: skip
        theirs = theirs[1:] if model.config.is_encoder_decoder else theirs[length:]
        ours = written.write(backbone, source, beams, 8, 1.0)[row]
        ended = theirs.tolist().index(3) if 3 in theirs else len(theirs)
        assert ours == theirs[:ended].tolist()


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "gpt2", "llama", "t5", "bart"])
@pytest.mark.parametrize(
    "strategy", [FullFineTuning(), LoRA(), PTuningV2(length=3), PrefixTuning(length=3), PromptTuning(length=3)]
)
def test_token_by_token_is_the_same_as_in_one_go(make, family, strategy):
    torch.manual_seed(0)
    model = AdaptedModel(make(family, pretrained=False), strategy, TASK).eval()
    for name, parameter in model.backbone.named_parameters():
        if name in {n.removeprefix("backbone.") for n in model.trained}:
            parameter.data += torch.randn_like(parameter) * 0.1
    head, backbone, source, target = model.head, model.backbone, texts(), texts((4, 4, 4), seed=1)
    with torch.no_grad():
        whole = head.states(backbone, source, target)  # (b, u, d)
        state, memory = head.begin(backbone, source)
        rows = torch.arange(3)
        states = [state]
        for place in range(3):
            states.append(head.go_on(backbone, memory, target["input_ids"][:, place], rows))
    torch.testing.assert_close(torch.stack(states, dim=1), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_a_target_does_not_see_what_comes_after_it_and_a_source_not_its_target(make, family):
    model = AdaptedModel(make(family), FullFineTuning(), TASK).eval()
    source, target, other = texts(), texts((4, 4, 4), seed=1), texts((4, 4, 4), seed=2)
    changed = {"input_ids": target["input_ids"].clone(), "attention_mask": target["attention_mask"]}
    changed["input_ids"][:, 2:] = other["input_ids"][:, 2:]
    with torch.no_grad():
        before, after = (model.head.states(model.backbone, source, each) for each in (target, changed))
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert (before[:, 3] - after[:, 3]).abs().max() > 1e-4


def test_an_encoder_reads_its_source_both_ways(make):
    model = AdaptedModel(make("bert"), FullFineTuning(), TASK).eval()
    source, target = texts((5, 5)), texts((2, 2), seed=1)
    changed = {"input_ids": source["input_ids"].clone(), "attention_mask": source["attention_mask"]}
    changed["input_ids"][:, 3] = 7
    states = []
    model.backbone.model.encoder.layer[0].register_forward_hook(lambda m, a, out: states.append(out[:, 0]))
    with torch.no_grad():
        for each in (source, changed):
            model.head.states(model.backbone, each, target)
    assert (states[0] - states[1]).abs().max() > 1e-4  # the first token has seen the fourth


def test_search_by_hand():
    # two steps over three tokens, 2 ends; the best pair starts with the worse token
    first = torch.tensor([[0.6, 0.4, 1e-9]]).log()
    after = torch.tensor([[0.5, 0.5, 1e-9], [0.9, 0.1 - 1e-9, 1e-9]]).log()
    step = lambda token, parent: after[token]  # noqa: E731
    assert search(first, step, beams=1, longest=2, end=2) in ([[0, 0]], [[0, 1]])
    assert search(first, step, beams=2, longest=2, end=2) == [[1, 0]]


def test_the_length_penalty_decides_between_short_and_long():
    first = torch.tensor([[0.4, 0.6]]).log()  # 1 ends
    after = torch.tensor([[0.5, 0.5]] * 2).log()
    step = lambda token, parent: after[token]  # noqa: E731
    assert search(first, step, beams=2, longest=3, end=1, penalty=0.0) == [[]]
    assert search(first, step, beams=2, longest=3, end=1, penalty=3.0)[0] != []


@pytest.mark.parametrize("family", ["distilbert", "modernbert", "xlnet"])
def test_families_that_cannot_write_say_so(make, family):
    with pytest.raises(UsageError, match="cannot write"):
        AdaptedModel(make(family), FullFineTuning(), TASK)


def test_a_strategy_that_trains_nothing_says_so(make):
    with pytest.raises(UsageError, match="LinearProbe trains nothing here"):
        AdaptedModel(make("gpt2"), LinearProbe(), TASK)


def test_the_likeliest_candidate_is_the_one_with_the_highest_probability(make):
    model = AdaptedModel(make("t5"), FullFineTuning(), TASK).eval()
    source, candidates = texts(), texts((2, 4, 3), seed=3)
    found = model.head.choose(model.backbone, source, candidates)
    for row in range(3):
        for column, length in enumerate((2, 4, 3)):
            alone = {name: value[row : row + 1, : (5, 3, 7)[row]] for name, value in source.items()}
            target = {name: value[column : column + 1, :length] for name, value in candidates.items()}
            with torch.no_grad():
                scores = model.head.output(model.head.states(model.backbone, alone, target)).log_softmax(-1)[0]
            expected = scores[torch.arange(length), target["input_ids"][0]].sum()
            assert found[row, column].item() == pytest.approx(expected.item(), rel=1e-4)
