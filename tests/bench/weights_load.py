"""Memory to load a sharded checkpoint as transformers does it, beside torch's one-file format.

    make contract                                   # installs the serving environment once
    python -m tests.bench.weights_load [--size-gb 2]

A model of random weights is saved both ways, then loaded by a process of its own each: sharded safetensors with
device_map="auto", and the whole pickled state dict into a model that was built first. Every weight is read once, so
that all of it is in memory. Expected: at most 1.1 times the checkpoint's size above what the imports take. The last
line is JSON.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab.commands.serving import ENVIRONMENT
from tests.fakes.checkpoints import parser, room

EXPECTED_RATIO = 1.1
MAKE = """
import sys, torch, transformers
folder, size_bytes, shards = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
# Embedding, head and layers of a Qwen2: enough layers of about 12 h^2 parameters each for the size.
hidden, vocabulary = 1024, 32768
layers = max(int((size_bytes / 2 - 2 * hidden * vocabulary) / (12 * hidden**2)), 1)
config = transformers.Qwen2Config(
    hidden_size=hidden, intermediate_size=3 * hidden, vocab_size=vocabulary, num_hidden_layers=layers,
    num_attention_heads=16, num_key_value_heads=8, tie_word_embeddings=False,
)
model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
model.save_pretrained(f"{folder}/sharded", max_shard_size=int(size_bytes / shards))
torch.save(model.state_dict(), f"{folder}/whole.bin")
"""
LOAD = """
import json, sys, time, torch, transformers
def status(field):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(field))
how, folder = sys.argv[1:]
transformers.AutoConfig.from_pretrained(f"{folder}/sharded")
transformers.Qwen2ForCausalLM  # imported before the measurement begins
before = status("VmRSS")
started = time.perf_counter()
if how == "sharded":
    model = transformers.AutoModelForCausalLM.from_pretrained(
        f"{folder}/sharded", dtype=torch.bfloat16, device_map="auto"
    )
else:
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.from_pretrained(f"{folder}/sharded"), dtype=torch.bfloat16
    )
    model.load_state_dict(torch.load(f"{folder}/whole.bin", weights_only=True))
with torch.no_grad():
    total = sum(float(weight.float().sum()) if weight.dim() < 2 else sum(float(row.sum()) for row in weight.split(256))
                for weight in model.parameters())
print(json.dumps({"seconds": time.perf_counter() - started, "peak_bytes": status("VmHWM") - before, "total": total}))
"""


def run(code: str, *arguments: object) -> str:
    return subprocess.run(
        [ENVIRONMENT / "bin/python", "-c", code, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"},
    ).stdout


def main() -> None:
    options = parser(__doc__, size_gb=2).parse_args()
    loads: dict[str, dict[str, float]] = {}
    with room(options.directory) as folder:
        run(MAKE, folder, options.size_gb * 1e9, options.shards)
        size_bytes = sum(path.stat().st_size for path in Path(folder, "sharded").glob("*.safetensors"))
        for how in ("sharded", "whole"):
            loads[how] = json.loads(run(LOAD, how, folder).splitlines()[-1])
    ratios = {how: measured["peak_bytes"] / size_bytes for how, measured in loads.items()}
    print(f"{size_bytes / 1e9:.2f} GB in {options.shards} shards")
    for how, measured in loads.items():
        print(
            f"{how:8} {measured['peak_bytes'] / 1e9:6.2f} GB  {ratios[how]:5.2f} x file  {measured['seconds']:6.1f} s"
        )
    print(f"expected: at most {EXPECTED_RATIO} x file for sharded: {ratios['sharded']:.2f}")
    print(
        json.dumps(
            {
                "benchmark": "weights_load",
                "size_bytes": size_bytes,
                "peak_bytes": {how: measured["peak_bytes"] for how, measured in loads.items()},
                "ratio_to_size": {how: round(ratio, 3) for how, ratio in ratios.items()},
                "seconds": {how: round(measured["seconds"], 2) for how, measured in loads.items()},
                "same_weights": abs(loads["sharded"]["total"] - loads["whole"]["total"]) < 1e-3,
                "met": ratios["sharded"] <= EXPECTED_RATIO,
            }
        )
    )


if __name__ == "__main__":
    main()
