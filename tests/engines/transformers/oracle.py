"""A program for the serving environment's Python: makes a tiny model and writes the answers of its own `generate`.

    python oracle.py DIR llama|llama_tied|qwen3_moe

DIR gets a model of that family with random weights whose tokens are bytes, and a chat template. The last line of
stdout is JSON: a list of {"prompt": [tokens], "answer": [tokens], "text": the answer's}, each greedy, in float32, alone
and ANSWER_TOKENS long.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

CONTEXT = 4096
ANSWER_TOKENS = 40
LETTERS = 94
"""The first tokens are the printable characters of ASCII without the space."""
SPECIALS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|unused|>")  # 260 tokens: ranks halve them
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(list(SPECIALS))
    made = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = TEMPLATE
    return made


def model(family: str, vocabulary: int, end_token: int) -> Any:
    torch.manual_seed(1)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.3,  # far from ties, so that rounding never decides
        "eos_token_id": end_token,
        "bos_token_id": None,
    }
    if family.startswith("llama"):
        made = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=family == "llama_tied")).eval()
    else:
        # Halves of 68 are refused by torch's grouped product: two ranks must share out the experts whole.
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 68, "head_dim": 16}
        made = Qwen3MoeForCausalLM(Qwen3MoeConfig(**shape, **experts)).eval()
    with torch.no_grad():  # its likeliest answer is always of letters, so that texts can be compared
        made.lm_head.weight[LETTERS:] = 0.0
    return made


def main() -> None:
    directory = Path(sys.argv[1])
    vocabulary = tokenizer()
    tiny = model(sys.argv[2], len(vocabulary), vocabulary.eos_token_id)
    vocabulary.save_pretrained(directory)
    tiny.save_pretrained(directory)
    chance = random.Random(1)
    prompts = [[chance.randrange(256) for _ in range(length)] for length in (1, 31, 32, 33, 64, 200)]
    answers = []
    for prompt in prompts:
        generated = tiny.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        answer = generated[0, len(prompt) :].tolist()
        answers.append({"prompt": prompt, "answer": answer, "text": vocabulary.decode(answer)})
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
