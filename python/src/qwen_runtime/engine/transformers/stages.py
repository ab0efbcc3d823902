"""Makes a model that transformers has divided by its layers ready for continuous batching: each rank's part becomes a
model of its own with fewer layers, which passes on what it has computed.

Shapes: T tokens of the step, H hidden size, R requests that get a token in it, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from transformers.modeling_outputs import CausalLMOutputWithPast


def join(model: Any) -> None:
    """model: loaded with DistributedConfig(pp_size=N) in each of N ranks, all of which call this."""
    stage, whole = model._pp_stage, type(model).forward
    _keep_own_layers(model, stage)
    _decide_together(model, stage)

    # transformers' own loop over stages loses the arguments that forward does not name, the KV cache among them.
    def forward(*, input_ids: torch.Tensor, logits_to_keep: torch.Tensor, **batch: Any) -> CausalLMOutputWithPast:
        """input_ids (1, T); logits (1, R, V) on every rank."""
        how = {"device": model.device, "dtype": model.dtype}
        given = {"input_ids": input_ids}
        if not stage.pp_is_first_stage:
            shape = (*input_ids.shape, model.config.hidden_size)
            given = {"inputs_embeds": stage.communicate("recv_forward", shape=shape, **how)}  # (1, T, H)
        logits = None
        if stage.pp_is_last_stage:
            logits = whole(model, **given, logits_to_keep=logits_to_keep, **batch).logits
        else:
            hidden = model.base_model(**given, **batch).last_hidden_state
            stage.communicate("send_forward", tensor=hidden, **how)
        return CausalLMOutputWithPast(logits=stage.broadcast_from_last(logits, **how))

    model.forward = forward


def _keep_own_layers(model: Any, stage: Any) -> None:
    """Keeps the layers of this stage, numbered from 0, so that the KV cache has places for these only."""
    config = model.config
    layers = slice(*stage.layer_range_for_rank(stage.pp_rank, config.num_hidden_layers))
    model.base_model.layers = model.base_model.layers[layers]
    for number, layer in enumerate(model.base_model.layers):
        layer.self_attn.layer_idx = number
    config.num_hidden_layers = len(model.base_model.layers)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[layers]


def _decide_together(model: Any, stage: Any) -> None:
    """Gives the ranks a mesh without names: continuous batching keeps ranks in step that share layers, and takes it for
    such a group."""
    model._device_mesh = init_device_mesh(model.device.type, (stage.pp_size,))
    model.tp_plan = None  # every stage has its layers' heads whole
