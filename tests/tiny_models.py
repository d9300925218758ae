"""Configurations of tiny models: a row for each family that has sites."""

_WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
_DISENTANGLED = {
    "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0,
}  # fmt: skip
_BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 130,
}  # fmt: skip
_REFORMER = {
    "hidden_size": 32, "attn_layers": ["local", "lsh"], "num_attention_heads": 2, "attention_head_size": 16,
    "feed_forward_size": 64, "axial_pos_embds": False, "max_position_embeddings": 128,
}  # fmt: skip
CONFIGS = {
    "bert": ("BertConfig", _WIDTHS),
    "roberta": ("RobertaConfig", _WIDTHS | _ENDS | {"max_position_embeddings": 130, "type_vocab_size": 1}),
    "electra": ("ElectraConfig", _WIDTHS | {"embedding_size": 16}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}),
    "albert": ("AlbertConfig", _WIDTHS | _ENDS | {"embedding_size": 16}),
    "modernbert": ("ModernBertConfig", _WIDTHS | _ENDS | {"cls_token_id": 2, "sep_token_id": 3}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128} | _ENDS),
    "llama": ("LlamaConfig", _WIDTHS | _ENDS | {"num_key_value_heads": 1}),
    "deberta-v2": ("DebertaV2Config", _WIDTHS | _DISENTANGLED | {"pad_token_id": 0}),
    "xlnet": ("XLNetConfig", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64} | _ENDS),
    "t5": ("T5Config", {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2} | _ENDS),
    "bart": ("BartConfig", _BART | _ENDS | {"decoder_start_token_id": 3}),
    "longformer": (
        "LongformerConfig",
        _WIDTHS | _ENDS | {"max_position_embeddings": 130, "type_vocab_size": 1, "attention_window": 4},
    ),
    "reformer": ("ReformerConfig", _REFORMER),
}
FAMILIES = tuple(CONFIGS)
