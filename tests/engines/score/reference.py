"""A program for the serving environment's Python: makes a tiny model of each family and scores lines the plainest way.

    python reference.py DIR LINES

LINES is JSON: a list of {"text"} or {"prompt", "continuation"}. Each directory DIR/FAMILY gets random weights whose
tokens are bytes. The last line of stdout is JSON: by family, for each line its log-likelihood, one text at a time, in
float32, from the model's own forward pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3MoeConfig

BEGIN = "<|begin|>"
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
CONFIGS = {
    "qwen3_moe": lambda size: Qwen3MoeConfig(**SHAPE, **EXPERTS, vocab_size=size, tie_word_embeddings=False),
    "qwen2": lambda size: Qwen2Config(**SHAPE, vocab_size=size, tie_word_embeddings=True),
    "llama": lambda size: LlamaConfig(**SHAPE, vocab_size=size, tie_word_embeddings=True),
}


def tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens([BEGIN])
    made = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token=BEGIN, eos_token=BEGIN)
    made.chat_template = "{{ messages }}"
    return made


def log_likelihood(model: Any, encode: Any, line: dict[str, str]) -> float:
    context = [encode.bos_token_id] if "text" in line else encode(line["prompt"])["input_ids"]
    scored = encode(line.get("text", line.get("continuation")))["input_ids"]
    tokens = torch.tensor([context + scored])
    with torch.no_grad():
        log_probs = model(tokens).logits.log_softmax(-1)
    places = range(len(context) - 1, tokens.shape[1] - 1)
    return sum(float(log_probs[0, place, tokens[0, place + 1]]) for place in places)


def main() -> None:
    lines, encode = json.loads(sys.argv[2]), tokenizer()
    log_likelihoods = {}
    for family, configure in CONFIGS.items():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(configure(len(encode))).eval()
        directory = Path(sys.argv[1], family)
        model.save_pretrained(directory, max_shard_size="200KB")
        encode.save_pretrained(directory)
        log_likelihoods[family] = [log_likelihood(model, encode, line) for line in lines]
    print(json.dumps(log_likelihoods))


if __name__ == "__main__":
    main()
