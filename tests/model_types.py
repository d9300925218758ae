"""Tiny configurations of model types of `transformers` that have no row of sites: two layers, 32 wide."""

from transformers import AutoConfig, PreTrainedConfig

WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
PLACES = {"max_position_embeddings": 130}
ROBERTA = WIDTHS | ENDS | PLACES
LLAMA = WIDTHS | ENDS | {"num_key_value_heads": 1}
HEADS = LLAMA | {"head_dim": 16}
EXPERTS = LLAMA | {
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
}  # fmt: skip
LATENT = EXPERTS | {
    "num_key_value_heads": 2, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
    "head_dim": 8, "v_head_dim": 16, "n_routed_experts": 4,
}  # fmt: skip
BOTH = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_start_token_id": 3,
} | PLACES | ENDS  # fmt: skip
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2} | ENDS
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128} | ENDS
STATES = {"hidden_size": 32, "num_hidden_layers": 2} | ENDS
LED = {"max_encoder_position_embeddings": 130, "max_decoder_position_embeddings": 130, "attention_window": 4}
PROPHET = {
    "hidden_size": 32, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
} | PLACES | ENDS  # fmt: skip
NARROW = {
    "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16, "num_feedforward_networks": 2,
}  # fmt: skip
JAMBA = {"attn_layer_offset": 0, "attn_layer_period": 2, "mamba_dt_rank": 4, "use_mamba_kernels": False}
SETTINGS = {
    **dict.fromkeys(("xlm-roberta", "camembert", "mpnet", "data2vec-text", "roberta-prelayernorm"), ROBERTA),
    **dict.fromkeys(("xlm-roberta-xl", "ibert", "layoutlm", "jina_embeddings_v3"), ROBERTA),
    "xmod": ROBERTA | {"languages": ["en_XX"], "default_language": "en_XX"},
    "luke": ROBERTA | {"entity_vocab_size": 10, "entity_emb_size": 16},
    "esm": ROBERTA | {"position_embedding_type": "rotary", "mask_token_id": 4},
    **dict.fromkeys(("ernie", "megatron-bert", "splinter", "mra", "yoso", "canine", "bert-generation"), WIDTHS | ENDS),
    "nomic_bert": WIDTHS | PLACES,
    "modernbert-decoder": WIDTHS | ENDS | {"cls_token_id": 2, "sep_token_id": 3},
    "mobilebert": WIDTHS | NARROW,
    "big_bird": WIDTHS | ENDS | {"block_size": 4},
    "fnet": WIDTHS | ENDS,
    "funnel": {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64, "block_sizes": [1, 1], "block_repeats": [1, 1]},
    "deberta": WIDTHS | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    **dict.fromkeys(("xlm", "flaubert"), {"emb_dim": 32, "n_layers": 2, "n_heads": 2} | ENDS),
    **dict.fromkeys(("convbert", "squeezebert", "roformer"), WIDTHS | {"embedding_size": 32}),
    "nystromformer": WIDTHS | {"num_landmarks": 2, "segment_means_seq_len": 2},
    "rembert": WIDTHS | {"input_embedding_size": 16},
    **dict.fromkeys(("openai-gpt", "gpt_bigcode"), GPT),
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    "gptj": GPT | {"rotary_dim": 8},
    "codegen": GPT | {"n_head": 4, "rotary_dim": 4},
    "opt": WIDTHS | ENDS | PLACES | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    **dict.fromkeys(("gpt_neox", "phi", "persimmon"), WIDTHS | ENDS),
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2} | ENDS,
    "falcon": WIDTHS | ENDS | {"multi_query": True, "alibi": False},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 128} | ENDS,
    "biogpt": ROBERTA,
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 2, "ffn_dim": 64} | ENDS | PLACES,
    "ctrl": {"n_embd": 32, "n_layer": 2, "n_head": 2, "dff": 64, "n_positions": 128},
    **dict.fromkeys(("eurobert", "mistral", "qwen2", "phi3", "olmo", "olmo2", "smollm3", "granite", "stablelm"), LLAMA),
    **dict.fromkeys(("cohere", "starcoder2", "nemotron", "exaone4", "arcee", "apertus", "bitnet"), LLAMA),
    **dict.fromkeys(("qwen3", "gemma", "gemma2", "gemma3_text", "cohere2", "glm", "helium", "ernie4_5"), HEADS),
    **dict.fromkeys(("seed_oss", "hunyuan_v1_dense"), HEADS),
    **dict.fromkeys(("mixtral", "olmoe", "granitemoe"), EXPERTS),
    **dict.fromkeys(("qwen3_moe", "gpt_oss"), EXPERTS | {"head_dim": 16}),
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 32},
    "deepseek_v2": LATENT,
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"]},
    "jamba": EXPERTS | JAMBA,
    "recurrent_gemma": LLAMA | {"lru_width": 32},
    **dict.fromkeys(("mamba", "falcon_mamba"), STATES | {"state_size": 4, "time_step_rank": 4}),
    "mamba2": STATES | {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 4},
    "rwkv": STATES | {"context_length": 128},
    "xlstm": STATES | {"num_heads": 2},
    **dict.fromkeys(("mt5", "umt5", "longt5"), T5),
    "switch_transformers": T5 | {"num_experts": 4, "num_decoder_layers": 2},
    **dict.fromkeys(("mbart", "pegasus", "marian", "m2m_100", "blenderbot", "blenderbot-small", "plbart", "mvp"), BOTH),
    "pegasus_x": BOTH | {"num_global_tokens": 2, "block_size": 4},
    "led": BOTH | LED,
    "bigbird_pegasus": BOTH | {"block_size": 4},
    "nllb-moe": BOTH | {"num_experts": 4},
    "fsmt": BOTH | {"src_vocab_size": 300, "tgt_vocab_size": 300},
    "prophetnet": PROPHET,
    "t5gemma": {"encoder": HEADS, "decoder": HEADS},
}


def config_of(kind: str, vocabulary: int, **others: object) -> PreTrainedConfig:
    """The configuration of a model type."""
    size = {"vocab_size": vocabulary}
    settings = {name: own | size if name in ("encoder", "decoder") else own for name, own in SETTINGS[kind].items()}
    return AutoConfig.for_model(kind, **size | settings | others)
