"""Writes a small model of random weights into the directory of its argument, whose tokens and marks are like Qwen's.

    python scripted_model.py DIRECTORY TEXTS...

Its tokenizer is trained on the files TEXTS, so that an agent's prompt of 100 kB has some 25,000 tokens, as for a real
model, and not one for each byte. It says nothing by itself: tests/fakes/scripted_sampler.py puts its answers in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CONTEXT = 65_536
VOCABULARY = 8_192
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")
SPECIAL = MARKS[:3]


def tokenizer(texts: list[Path]) -> PreTrainedTokenizerFast:
    """Pairs of bytes, and one token for each mark. The marks of a call are ordinary text, as in Qwen's tokenizers."""
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - len(MARKS), initial_alphabet=alphabet, show_progress=False)
    pairs.train([str(text) for text in texts], trainer)
    pairs.add_tokens([AddedToken(mark, normalized=False, special=mark in SPECIAL) for mark in MARKS])
    template = Path(__file__).with_name("chat_template.jinja").read_text()
    return PreTrainedTokenizerFast(
        tokenizer_object=pairs, chat_template=template, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def main(directory: Path, texts: list[Path]) -> None:
    torch.manual_seed(0)
    trained = tokenizer(texts)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        eos_token_id=trained.eos_token_id,
        pad_token_id=trained.pad_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    Qwen3ForCausalLM(config).eval().save_pretrained(directory)
    trained.save_pretrained(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(text) for text in sys.argv[2:]])
