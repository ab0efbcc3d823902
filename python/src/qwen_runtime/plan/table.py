"""The table of a plan, for people: the document of document.py in lines of at most 100 characters or so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qwen_runtime.units import GIGA, count, gib


def render(document: dict[str, Any]) -> str:
    sections = [_head(document), _layout(document)]
    if document.get("workload"):
        sections.insert(1, _workload(document["workload"]))
    if document["fits"]:
        sections += [_choices(document), _predicted(document), _kubernetes(document), _launch(document)]
    sections.append(_refused(document))
    return "\n\n".join("\n".join(section) for section in map(list, sections))


def _head(document: dict[str, Any]) -> Iterator[str]:
    hardware, model = document["hardware"], document["model"]
    yield f"{'fits' if document['fits'] else 'DOES NOT FIT'}: {document['reason']}"
    yield from (f"note: {warning}" for warning in document["warnings"])
    yield ""
    yield (
        f"model      {model['name']}: {count(document['parameters'])} parameters, "
        f"{count(document['active_parameters'])} active, {document['weights_bytes'] / GIGA:.1f} GB"
    )
    parts = (f"{part} {values['bytes'] / GIGA:.2f} GB" for part, values in document["parts"].items())
    yield f"           {', '.join(parts)}"
    memory = gib(hardware["memory_bytes_per_gpu"])
    yield f"hardware   {hardware['nodes']} x {hardware['gpus_per_node']} {hardware['gpu']}, {memory} each"


def _workload(workload: dict[str, Any]) -> Iterator[str]:
    yield (
        f"team       {workload['developers']} developers, profile {workload['profile']}: "
        f"{workload['turns_per_hour']:g} turns an hour, {count(workload['input_tokens'])} tokens in (of which "
        f"{workload['cached_share']:.0%} cached at best) and {count(workload['output_tokens'])} out, "
        f"{workload['wait_s']:g} s between turns"
    )
    yield f"           {workload['why']}"
    yield f"{'busy hour on':22} hosts   in flight   busiest   held   cached   first token   a turn   tokens/s   a user"
    for row in (workload, *workload["others"]):
        spare = f" + {row['nodes_spare']}" if row["nodes_spare"] else ""
        yield f"{row['gpu']:22} {str(row['nodes'] - row['nodes_spare']) + spare:>5}   {_hour(row['busy_hour'])}"
    yield from (f"{row['gpu']}: {row['why']}" for row in workload["others"])
    yield from (f"{name}: {source}" for name, source in workload["sources"].items())


def _hour(hour: dict[str, Any] | None) -> str:
    if hour is None:
        return "the model does not fit"
    if hour["in_flight"] is None:
        return "more requests arrive than are answered"
    return (
        f"{hour['in_flight']:9.1f} {hour['busiest']:9.0f} {hour['held']:6} {hour['cached_share']:8.0%} "
        f"{hour['ttft_s'] * 1000:10.0f} ms {hour['turn_s']:6.1f} s {hour['output_tokens_per_s']:10.0f} "
        f"{hour['output_tokens_per_s_per_user']:8.0f}"
    )


def _layout(document: dict[str, Any]) -> Iterator[str]:
    layout, memory = document["layout"], document["memory"]
    yield (
        f"layout     {layout['name']} on {layout['gpus_per_replica']} GPUs, {layout['replicas']} times, "
        f"{layout['nodes']} nodes"
    )
    yield (
        f"each GPU   {gib(memory['usable_bytes_per_gpu'])} usable: {gib(memory['weights_bytes_per_gpu'])} weights, "
        f"{gib(memory['headroom_bytes_per_gpu'])} headroom, {gib(memory['kv_bytes_per_gpu'])} KV cache"
    )
    yield (
        f"KV cache   {count(memory['kv_tokens'])} tokens an engine at {count(memory['kv_bytes_per_token'])} bytes "
        f"each; longest context {count(memory['longest_context_tokens'])}"
    )
    if memory.get("offloaded_tokens"):
        yield f"           and {count(memory['offloaded_tokens'])} tokens in host memory, for prefixes that come again"
    held = (f"{number} at {int(length) // 1024}k" for length, number in memory["sequences"].items())
    yield f"sequences  {', '.join(held) or 'none'}"


def _choices(document: dict[str, Any]) -> Iterator[str]:
    for name, choice in document["choices"].items():
        yield f"{name:18} {choice['value']}: {choice['reason']}"


def _predicted(document: dict[str, Any]) -> Iterator[str]:
    wishes = document["wishes"]
    cached = wishes.get("cached_share") or 0
    share = f" ({cached:.0%} of them cached)" if cached else ""
    tokens = f"{wishes['input_tokens']} tokens in{share} and {wishes['output_tokens']} out"
    yield f"predicted for {tokens} (docs/planner.md says how far off)"
    if document["predicted"]:
        yield "four of five measurements lie in the range beside each number"
        yield f"in flight {'tokens/s':>20}   a GPU   a user {'first token, ms':>20} {'between tokens, ms':>22}"
    for row in document["predicted"]:
        yield (
            f"{row['concurrency']:9} {_with_range(row, 'output_tokens_per_s', 1, 0):>20} "
            f"{row['output_tokens_per_s_per_gpu']:7.0f} {1 / row['inter_token_s']:8.0f} "
            f"{_with_range(row, 'ttft_s', 1000, 0):>20} {_with_range(row, 'inter_token_s', 1000, 1):>22}"
        )
    yield f"targets: {document['target']['reason']}"


def _with_range(row: dict[str, Any], quantity: str, factor: int, digits: int) -> str:
    """A predicted number, and the range beside it; a plan of an earlier version has none."""
    text = f"{row[quantity] * factor:.{digits}f}"
    if "likely" not in row:
        return text
    low, high = row["likely"][quantity]
    return f"{text} ({low * factor:.{digits}f}-{high * factor:.{digits}f})"


def _kubernetes(document: dict[str, Any]) -> Iterator[str]:
    pod, host = document["kubernetes"], document["host"]
    gpus = f"{pod['gpus']} {pod['gpu_resource']}" if pod["gpu_resource"] else "no GPU"
    yield (
        f"pod        {gpus}, {pod['cpu_request']} cores, {pod['memory_request']} to {pod['memory_limit']} of "
        f"memory, {pod['shared_memory']} of /dev/shm"
    )
    tokens = document["wishes"]["longest_answer_tokens"]
    yield (
        f"times      {pod['longest_answer_seconds']} s for an answer of {tokens:,} tokens, "
        f"{pod['drain_seconds']} s drain, {pod['termination_grace_period_seconds']} s grace, "
        f"{pod['startup_seconds']} s to start"
    )
    yield f"host       {gib(host['memory_bytes'])} of memory, {host['disk_bytes'] / GIGA:.0f} GB for two revisions"
    spare = pod["spare_nodes_for_max_surge"]
    yield f"rollout    {f'by surge needs {spare} spare nodes' if spare else 'by surge has the GPUs that it needs'}"


def _launch(document: dict[str, Any]) -> Iterator[str]:
    for engine, argv in document["launch"].items():
        yield f"{engine + ':':13} {' '.join(argv)}"
    for engine, reason in document["unusable_engines"].items():
        yield f"{engine + ':':13} no: {reason}"


def _refused(document: dict[str, Any]) -> Iterator[str]:
    yield "layouts refused" if document["refused"] else "no layout was refused"
    for entry in document["refused"]:
        yield f"  {entry['layout']['name']:16} {entry['reason']}"
    if document["not_chosen"]:
        yield "layouts that fit and were not taken"
    for entry in document["not_chosen"]:
        rate = f"{entry['output_tokens_per_s']:.0f} tokens/s at the wished concurrency, "
        rate += f"{entry['alone_tokens_per_s']:.0f} to one user alone"
        yield f"  {entry['layout']['name']:16} {rate}, {count(entry['kv_tokens'])} tokens of KV cache"
