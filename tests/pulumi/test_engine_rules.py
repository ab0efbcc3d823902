"""The engines' recording rules read names that the pinned vLLM writes, and give all engines' metrics the same names."""

import re
from pathlib import Path
from typing import Any

from qwen_runtime.engine import metrics

from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.alerts.engine_rules import recording_rules

from .promtool import PROMTOOL, records

RECORDED = Path(__file__).resolve().parents[1] / "recorded/vllm_metrics.txt"


def samples() -> list[tuple[str, str]]:
    """Series and value of each recorded line."""
    lines = [line for line in RECORDED.read_text().splitlines() if not line.startswith("#")]
    return [tuple(line.rsplit(" ", 1)) for line in lines]  # type: ignore[misc]


def test_every_mapped_name_of_vllm_stands_in_its_recorded_metrics() -> None:
    written = {series.partition("{")[0] for series, _ in samples()}
    assert metrics.names("vllm") <= written


def test_every_rule_reads_only_names_of_its_engine() -> None:
    mapped = set(metrics.SUPERVISOR.values()).union(*(metrics.names(engine) for engine in metrics.registry.exported()))
    for rule in recording_rules():
        read = set(re.findall(r"(?:\w+:)?\w+_\w+(?=[{),]|$)", rule["expr"])) - {"finished_reason"}
        assert read, rule
        assert read <= mapped


def test_engines_that_tell_the_same_are_recorded_under_the_same_name() -> None:
    by_engine: dict[str, set[str]] = {"vllm": set(), "transformers": set()}
    for rule in recording_rules():
        if "engine" in rule["labels"]:
            by_engine[rule["labels"]["engine"]].add(rule["record"].partition(":seconds_")[0])
    only = {name.split(":")[1] for name in by_engine["vllm"] ^ by_engine["transformers"]}
    assert only == {"cached_prompt_tokens", "preemptions", "step_requests", "load_time"}


@PROMTOOL
def test_the_recorded_metrics_come_out_under_their_neutral_names(tmp_path: Path, settings: Any) -> None:
    one_core = samples()
    two_cores = one_core + [(s.replace('engine="0"', 'engine="1"'), v) for s, v in one_core if 'engine="0"' in s]
    labels = 'engine="vllm",model_name="smollm2-135m-instruct"'
    expected = {
        f"serving:time_to_first_token:seconds_count{{{labels}}}": 6,
        f'serving:time_to_first_token:seconds_bucket{{{labels},le="+Inf"}}': 6,
        f'serving:time_to_first_token:seconds_bucket{{{labels},le="0.1"}}': 4,
        f"serving:inter_token_latency:seconds_count{{{labels}}}": 88,
        f"serving:request_latency:seconds_count{{{labels}}}": 6,
        f"serving:queue_time:seconds_count{{{labels}}}": 6,
        f"serving:step_tokens:tokens_sum{{{labels}}}": 328,
        f"serving:requests_running:requests{{{labels}}}": 0,
        f"serving:requests_waiting:requests{{{labels}}}": 0,
        f"serving:kv_cache_used:ratio{{{labels}}}": 0,
        f"serving:prompt_tokens:total{{{labels}}}": 234,
        f"serving:generation_tokens:total{{{labels}}}": 94,
        f'serving:finished:total{{{labels},finish_reason="stop"}}': 2,
        f'serving:finished:total{{{labels},finish_reason="length"}}': 4,
        f'serving:errors:total{{{labels},cause="engine"}}': 0,
        f'serving:errors:total{{{labels},cause="client_gone"}}': 0,
        'serving:errors:total{engine="vllm",cause="refused"}': 1,
    }
    records(tmp_path, alert_rules.rules_file(settings), two_cores, expected)


@PROMTOOL
def test_the_fullest_core_is_what_a_server_has_used_of_its_kv_cache(tmp_path: Path, settings: Any) -> None:
    series = [
        (f'transformers:kv_cache_usage_perc{{engine="{core}"}}', value) for core, value in ((0, "0.2"), (1, "0.9"))
    ]
    expected = {'serving:kv_cache_used:ratio{engine="transformers"}': 0.9}
    records(tmp_path, alert_rules.rules_file(settings), series, expected)
