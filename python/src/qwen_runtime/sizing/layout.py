"""Layouts: the ways to divide a model over GPUs, and the divisions that no engine can run, whatever the memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qwen_runtime.sizing.shape import Shape


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts to plan for, all alike."""

    gpus_per_node: int
    nodes: int

    @property
    def gpus(self) -> int:
        return self.gpus_per_node * self.nodes


@dataclass(frozen=True, slots=True)
class Layout:
    tensor_parallel: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    """Ranks that share out whole experts: tensor parallel x attention groups. 1 where each rank has a part of all."""
    attention_groups: int = 1
    """Groups of ranks inside one engine that each hold all of attention, and share out the experts (vLLM's own
    data parallelism)."""
    replicas: int = 1
    """Engines side by side, each with the whole model."""

    @property
    def gpus_per_replica(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel * self.attention_groups

    @property
    def gpus(self) -> int:
        return self.gpus_per_replica * self.replicas

    @property
    def data_parallel(self) -> int:
        return self.attention_groups * self.replicas

    def nodes_per_replica(self, site: Site) -> int:
        return -(-self.gpus_per_replica // site.gpus_per_node)

    def nodes(self, site: Site) -> int:
        """Hosts that are used."""
        if self.gpus_per_replica >= site.gpus_per_node:
            return self.nodes_per_replica(site) * self.replicas
        return -(-self.replicas // (site.gpus_per_node // self.gpus_per_replica))

    @property
    def name(self) -> str:
        """The division of one engine, as people write it: TP8 x EP8."""
        factors = [f"TP{self.tensor_parallel}"]
        factors += [f"PP{self.pipeline_parallel}"] if self.pipeline_parallel > 1 else []
        factors += [f"DP{self.attention_groups}"] if self.attention_groups > 1 else []
        factors += [f"EP{self.expert_parallel}"] if self.expert_parallel > 1 else []
        return " x ".join(factors)


def plain(name: str) -> str:
    """A layout's name without blanks and whatever its case, so that people may write tp8xep8."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def candidates(shape: Shape, site: Site) -> Iterator[Layout]:
    """Every division of a whole number of hosts, or of equal parts of a host, that is worth an opinion."""
    for tensor in _divisors(site.gpus_per_node):
        for pipeline in _divisors(site.gpus // tensor):
            if not _fills_hosts(tensor * pipeline, site):
                continue
            yield _repeated(Layout(tensor, pipeline), site)
            if shape.experts and tensor > 1:
                yield _repeated(Layout(tensor, pipeline, expert_parallel=tensor), site)
        if shape.experts:
            for groups in _divisors(site.gpus_per_node // tensor)[1:]:
                yield _repeated(Layout(tensor, 1, tensor * groups, groups), site)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _fills_hosts(gpus: int, site: Site) -> bool:
    return site.gpus_per_node % gpus == 0 or gpus % site.gpus_per_node == 0


def _repeated(layout: Layout, site: Site) -> Layout:
    """The layout, repeated for as many engines as the hosts take."""
    if layout.gpus_per_replica < site.gpus_per_node:
        replicas = site.gpus_per_node // layout.gpus_per_replica * site.nodes
    else:
        replicas = site.nodes // layout.nodes_per_replica(site)
    return Layout(
        layout.tensor_parallel,
        layout.pipeline_parallel,
        layout.expert_parallel,
        layout.attention_groups,
        replicas,
    )


def misfit(shape: Shape, layout: Layout) -> str | None:
    """Why the model's numbers do not divide this way; None where they do.

    Source of the rules: vLLM 0.32's own checks (model_executor/models/qwen3_moe.py, layers/fused_moe/layer.py,
    layers/quantization/utils/fp8_utils.py), whose messages name the same numbers. For experts that version can split
    blocks into finer ones and goes on, with its slowest kernels only; that is refused here all the same, since expert
    parallelism does without.
    """
    tensor = layout.tensor_parallel
    if layout.pipeline_parallel > shape.layers:
        return f"{shape.layers} layers cannot make {layout.pipeline_parallel} stages"
    if shape.heads % tensor:
        return f"{shape.heads} attention heads are not divisible by TP {tensor}"
    if not shape.latent and shape.kv_heads % tensor and tensor % shape.kv_heads:
        return f"{shape.kv_heads} key/value heads can be neither divided nor repeated over TP {tensor}"
    if shape.linear and shape.linear.key_heads % tensor:
        return f"{shape.linear.key_heads} heads of linear attention are not divisible by TP {tensor}"
    if shape.experts and shape.experts % layout.expert_parallel:
        return f"{shape.experts} experts are not divisible by EP {layout.expert_parallel}"
    for what, width, ranks in _widths(shape, layout):
        if width % ranks:
            return f"{what} {width} is not divisible by TP {ranks}"
    return _unaligned(shape, layout) if shape.fp8_block else None


def _widths(shape: Shape, layout: Layout) -> Iterator[tuple[str, int, int]]:
    """Each width that tensor parallelism cuts: its name, its size and the number of parts."""
    tensor = layout.tensor_parallel
    if shape.expert_layers < shape.layers:
        yield "intermediate_size", shape.intermediate, tensor
    if shape.shared_intermediate:
        yield "the width of shared experts", shape.shared_intermediate, tensor
    if shape.experts and not shape.mxfp4:  # vLLM pads experts in MXFP4
        yield "moe_intermediate_size", shape.moe_intermediate, tensor if layout.expert_parallel == 1 else 1


def _unaligned(shape: Shape, layout: Layout) -> str | None:
    """Blocks must be whole on every rank, also where matrices are merged into one (q, k, v; gate, up)."""
    block, tensor = shape.fp8_block, layout.tensor_parallel
    assert block
    for what, width, ranks in [*_attention_widths(shape, tensor), *_widths(shape, layout)]:
        if width // ranks % block:
            remedy = "; expert parallelism keeps experts whole" if what.startswith("moe") and ranks > 1 else ""
            cut = f"{width} / TP {ranks} = {width // ranks}" if ranks > 1 else str(width)
            return f"FP8 blocks of {block}: {what} {cut}, not a multiple{remedy}"
    return None


def _attention_widths(shape: Shape, tensor: int) -> Iterator[tuple[str, int, int]]:
    if shape.latent:
        yield "the width of attention's output", shape.heads * shape.latent.value_dim, tensor
        yield "the width of queries", shape.heads * shape.head_dim, tensor
        return
    yield "the width of attention", shape.heads * shape.head_dim, tensor
    yield "the width of keys and values", shape.kv_heads * shape.head_dim, min(tensor, shape.kv_heads)
    if shape.linear:
        yield "the keys of linear attention", shape.linear.keys, tensor
        yield "the values of linear attention", shape.linear.values, tensor
