"""The dashboards: fleet, one model, service levels, one GPU host, cluster, keys, entries of a name, and autoscaling."""

from __future__ import annotations

from qwen_stack.dashboards.cluster import CLUSTER
from qwen_stack.dashboards.entries import A_AGAINST_B, AUTOSCALING
from qwen_stack.dashboards.hosts import FLEET_HOSTS, MACHINE
from qwen_stack.dashboards.keys import KEYS
from qwen_stack.dashboards.panels import PER_MODEL, RATE, Page, Panel, Row, quantiles, total

MODEL, NODE = '{model_name=~"$model_name"}', '{node=~"$node"}'
FIRING = 'ALERTS{alertstate="firing",severity!="none"}'


FLEET = Page(
    "qwen-fleet",
    "Fleet",
    "What is planned and what is there, what it does, and what calls.",
    (
        Row(
            "Planned and seen",
            (
                Panel(
                    "Replicas",
                    "short",
                    (
                        ("serving:planned_replicas:replicas", "{{server}} planned"),
                        ('sum by (server) (serving:state{state="ready"})', "{{server}} ready"),
                    ),
                ),
                Panel(
                    "GPUs of each host",
                    "short",
                    (
                        ("serving:planned_gpus_per_host:gpus", "planned"),
                        ("count by (node) (serving:gpu_temperature:celsius)", "{{node}}"),
                    ),
                ),
                Panel(
                    "Alerts that fire",
                    "short",
                    (
                        (
                            f"count by (alertname) ({FIRING}) or vector(0)",
                            "{{alertname}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel("Answers", "reqps", ((total("serving:gateway_answers:total", "sum by (class)"), "{{class}}"),)),
                Panel("Tokens generated", "short", ((total("serving:generation_tokens:total"), "{{model_name}}"),)),
                Panel(
                    "Requests",
                    "short",
                    (
                        (f"{PER_MODEL} (serving:requests_running:requests)", "{{model_name}} running"),
                        (f"{PER_MODEL} (serving:requests_waiting:requests)", "{{model_name}} waiting"),
                    ),
                ),
            ),
        ),
        Row(
            "GPUs",
            (
                Panel(
                    "Utilisation of each host",
                    "percentunit",
                    (("avg by (node) (serving:gpu_utilization:ratio)", "{{node}}"),),
                ),
                Panel("Power", "watt", (("sum by (node) (serving:gpu_power:watts)", "{{node}}"),)),
                Panel(
                    "Hottest GPU of each host",
                    "celsius",
                    (("max by (node) (serving:gpu_temperature:celsius)", "{{node}}"),),
                ),
            ),
        ),
        FLEET_HOSTS,
        Row(
            "Gateways",
            (
                Panel(
                    "Connections",
                    "short",
                    (
                        ("serving:gateway_connections:connections", "{{instance}}"),
                        ("serving:planned_gateway_connections:connections", "most of one gateway"),
                    ),
                ),
                Panel(
                    "Repeated requests and cut streams",
                    "reqps",
                    (
                        (total("serving:gateway_retries:total", "sum by (server)"), "{{server}} repeated"),
                        (total("serving:gateway_cut:total", "sum by (instance)"), "{{instance}} cut"),
                    ),
                ),
                Panel("Memory", "percentunit", (("serving:gateway_memory_used:ratio", "{{instance}}"),)),
            ),
        ),
    ),
)
ONE_MODEL = Page(
    "qwen-model",
    "One model",
    "How soon a model answers, and what its replicas hold.",
    (
        Row(
            "Latency",
            (
                Panel("First token", "s", quantiles("serving:time_to_first_token:seconds", MODEL)),
                Panel("Between two tokens", "s", quantiles("serving:inter_token_latency:seconds", MODEL)),
                Panel("Whole answer", "s", quantiles("serving:request_latency:seconds", MODEL)),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Tokens",
                    "short",
                    (
                        (total("serving:prompt_tokens:total", selector=MODEL), "{{model_name}} prompt"),
                        (total("serving:cached_prompt_tokens:total", selector=MODEL), "{{model_name}} from the cache"),
                        (total("serving:generation_tokens:total", selector=MODEL), "{{model_name}} generated"),
                    ),
                ),
                Panel("Time in the queue", "s", quantiles("serving:queue_time:seconds", MODEL)),
                Panel(
                    "Ended requests",
                    "reqps",
                    ((total("serving:finished:total", "sum by (finish_reason)", MODEL), "{{finish_reason}}"),),
                ),
            ),
        ),
        Row(
            "Replicas",
            (
                Panel("KV cache in use", "percentunit", ((f"serving:kv_cache_used:ratio{MODEL}", "{{instance}}"),)),
                Panel(
                    "Requests of each replica",
                    "short",
                    (
                        (f"serving:requests_running:requests{MODEL}", "{{instance}} running"),
                        (f"serving:requests_waiting:requests{MODEL}", "{{instance}} waiting"),
                    ),
                ),
                Panel(
                    "Errors and preemptions",
                    "reqps",
                    (
                        (total("serving:errors:total", "sum by (cause)", MODEL), "{{cause}}"),
                        (total("serving:preemptions:total", selector=MODEL), "preempted"),
                    ),
                ),
            ),
        ),
    ),
    ("model_name", "serving:planned_replicas:replicas"),
)
LEVELS = Page(
    "qwen-levels",
    "Service levels",
    "What the site promises, and how much of its error budget is left.",
    (
        Row(
            "Budget",
            (
                Panel(
                    "Budget that is left of three days",
                    "percentunit",
                    (("clamp_min(serving:slo_budget_left:ratio, 0)", "{{slo}} {{model_name}}"),),
                    "Below 0 more was used than three days allow; the panel ends there.",
                    12,
                ),
                Panel(
                    "Speed at which it burns",
                    "short",
                    (
                        (
                            "serving:slo_errors:ratio_1h / on (slo) group_left () serving:slo_budget:ratio",
                            "{{slo}} {{model_name}} 1 h",
                        ),
                        (
                            "serving:slo_errors:ratio_6h / on (slo) group_left () serving:slo_budget:ratio",
                            "{{slo}} {{model_name}} 6 h",
                        ),
                    ),
                    "1 uses up the budget in 30 days. 14.4 over an hour and 6 over six hours call somebody.",
                    12,
                ),
            ),
        ),
        Row(
            "Promised and seen",
            (
                Panel(
                    "Good events of a day",
                    "percentunit",
                    (
                        ("1 - serving:slo_errors:ratio_1d", "{{slo}} {{model_name}}"),
                        ("serving:slo_objective:ratio", "{{slo}} promised"),
                    ),
                ),
                Panel("Thresholds", "s", (("serving:slo_threshold:seconds", "{{slo}}"),)),
                Panel("Events of an hour", "short", (("serving:slo_events:increase_1h", "{{slo}} {{model_name}}"),)),
            ),
        ),
    ),
)
GPU_HOST = Page(
    "qwen-gpu-host",
    "One GPU host",
    "The GPUs of a host, side by side: one that differs is the one to look at. Below them the machine itself.",
    (
        Row(
            "Work",
            (
                Panel(
                    "Utilisation", "percentunit", ((f"serving:gpu_utilization:ratio{NODE}", "{{node}} GPU {{gpu}}"),)
                ),
                Panel("Memory in use", "bytes", ((f"serving:gpu_memory_used:bytes{NODE}", "{{node}} GPU {{gpu}}"),)),
                Panel("Clock", "hertz", ((f"serving:gpu_sm_clock:hertz{NODE}", "{{node}} GPU {{gpu}}"),)),
            ),
        ),
        Row(
            "Heat",
            (
                Panel("Temperature", "celsius", ((f"serving:gpu_temperature:celsius{NODE}", "{{node}} GPU {{gpu}}"),)),
                Panel(
                    "Temperature of the memory",
                    "celsius",
                    ((f"serving:gpu_memory_temperature:celsius{NODE}", "{{node}} GPU {{gpu}}"),),
                ),
                Panel("Power", "watt", ((f"serving:gpu_power:watts{NODE}", "{{node}} GPU {{gpu}}"),)),
            ),
        ),
        Row(
            "Clocks and division",
            (
                Panel(
                    "GPUs with lowered clocks, by reason",
                    "short",
                    ((f"sum by (node, reason) (serving:gpu_clock_event:bool{NODE})", "{{node}} {{reason}}"),),
                    "power_cap is usual under full load. sw_thermal and hw_thermal are heat, hw_power_brake is the "
                    "host's power supply, clocks_setting somebody's choice.",
                    12,
                ),
                Panel(
                    "GPUs in MIG mode",
                    "short",
                    ((f"sum by (node) (serving:gpu_divided:bool{NODE})", "{{node}}"),),
                    width=12,
                ),
            ),
        ),
        Row(
            "Faults",
            (
                Panel("Last XID", "short", ((f"serving:gpu_last_xid:code{NODE}", "{{node}} GPU {{gpu}}"),)),
                Panel(
                    "Errors of the memory",
                    "short",
                    (
                        (f"serving:gpu_double_bit_errors:total{NODE}", "{{node}} GPU {{gpu}} double-bit"),
                        (f"serving:gpu_remapped_rows:total{NODE}", "{{node}} GPU {{gpu}} remapped rows"),
                    ),
                ),
                Panel(
                    "Retries of NVLink and PCIe",
                    "cps",
                    (
                        (f"rate(serving:gpu_nvlink_retries:total{NODE}[{RATE}])", "{{node}} GPU {{gpu}} NVLink"),
                        (f"rate(serving:gpu_pcie_retries:total{NODE}[{RATE}])", "{{node}} GPU {{gpu}} PCIe"),
                    ),
                ),
            ),
        ),
        *MACHINE,
    ),
    ("node", "serving:gpu_temperature:celsius"),
)
PAGES = (FLEET, ONE_MODEL, LEVELS, GPU_HOST, CLUSTER, KEYS, A_AGAINST_B, AUTOSCALING)
