"""Writes a Qwen3-MoE of random weights in fp32, with a tokenizer of bytes, into the directory of its argument."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

CONFIG = Qwen3MoeConfig(
    vocab_size=512,
    hidden_size=256,
    intermediate_size=512,
    moe_intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    num_experts=8,
    num_experts_per_tok=2,
    max_position_embeddings=1024,
    initializer_range=0.2,  # far from ties, so that greedy tokens do not hang on the last bit
    dtype="float32",
)


def tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters_only = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    letters_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=letters_only, chat_template="{{ messages[0].content }}")


def main(directory: Path) -> None:
    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(CONFIG).eval()
    model.save_pretrained(directory, max_shard_size="10MB")
    tokenizer().save_pretrained(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
