"""A program for the serving environment's Python: what does a chat template get for what a client sent?

    python history_questions.py QUESTIONS

QUESTIONS is JSON: {name: text of a chat request's body}. vLLM's own request class reads each body, and its own renderer
hands the messages to a template that writes them down. The answer, the last line of stdout, is JSON: {"bodies": {name:
messages as the template got them, or a refusal under "error"}, "answer": a message of vLLM that says nothing}.
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

QUIET = {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
TEMPLATE = "{{ messages | tojson }}"
"""Like the templates of Qwen and Llama it knows nothing of the role developer, and takes contents as text."""


def rendered(body: str, tokenizer: Any) -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.renderers.chat_utils import parse_chat_messages
    from vllm.renderers.hf import safe_apply_chat_template

    # What the renderer reads of a model's configuration; a real one needs the files of a model.
    model: Any = SimpleNamespace(multimodal_config=None, is_multimodal_model=False, enable_prompt_embeds=False)
    model.hf_config = SimpleNamespace()
    try:
        request = ChatCompletionRequest.model_validate(json.loads(body))
        conversation, _, _ = parse_chat_messages(request.messages, model, content_format="string")
        return json.loads(
            safe_apply_chat_template(model, tokenizer, conversation, chat_template=TEMPLATE, tokenize=False)
        )
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from vllm.entrypoints.openai.chat_completion.protocol import ChatMessage

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"x": 0}, [])))
    bodies = {name: rendered(body, tokenizer) for name, body in json.loads(sys.argv[1]).items()}
    nothing = json.loads(ChatMessage(role="assistant", content=None).model_dump_json())
    print(json.dumps({"bodies": bodies, "answer": nothing}))


if __name__ == "__main__":
    main()
