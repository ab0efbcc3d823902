"""A stand-in for a model's choices: vLLM as it is, except that a script decides which token comes next.

`vllm serve DIRECTORY --logits-processors tests.fakes.scripted_sampler:Scripted`, with the script's path in SCRIPT. The
script is JSON: [{"sees": text, "says": text}, ...]. A request is answered by the first entry whose `sees` stands in the
last message of its prompt, else by OTHERWISE. Where the request forces a form that the answer does not have, as
`response_format` does, the model itself chooses within that form.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

SCRIPT = "QWEN_ONPREM_SCRIPT"
OTHERWISE = "I have nothing to add."
TURN = "<|im_start|>"
END = "<|im_end|>"


class Scripted(LogitsProcessor):
    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)
        self._answers: dict[int, tuple[list[int], list[int]]] = {}
        """Row of the batch: the tokens to say, and those that the request has got, which vLLM extends."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(
            self._answers, batch_update, lambda _, prompt, output: (self._answer(prompt or []), output)
        )

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for row, (answer, output) in self._answers.items():
            token = answer[min(len(output), len(answer) - 1)]
            if output == answer[: len(output)] and torch.isfinite(logits[row, token]):
                chosen = logits[row, token].clone()
                logits[row] = float("-inf")
                logits[row, token] = chosen
        return logits

    def _answer(self, prompt: list[int]) -> list[int]:
        # The last turn is the answer's beginning, which is empty; the one before it is the last message.
        message = self._tokenizer.decode(prompt).split(TURN)[-2:][0]
        # Read anew, so that each test can write its own.
        script = json.loads(Path(os.environ[SCRIPT]).read_text())
        says = next((line["says"] for line in script if line["sees"] in message), OTHERWISE)
        return self._tokenizer.encode(says + END, add_special_tokens=False)
