"""Tiny backbones of any model type of `transformers`."""

import pytest
from model_types import config_of

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld


@pytest.fixture
def of_type(tmp_path):
    """A backbone of random weights, of a model type."""

    def make(kind: str, family=None, **settings: object) -> Backbone:
        tokenizer = microworld.tokenizer()
        tokenizer.save_pretrained(tmp_path)
        config_of(kind, len(tokenizer) + 8, **settings).save_pretrained(tmp_path)
        return TransformersBackbone(str(tmp_path), family=family)

    return make
