"""Coverage-guided fuzzing of the header parser: `make fuzz`, or with libFuzzer's own arguments
`PYTHONPATH=python/src python -m tests.fuzz.safetensors_header -max_total_time=600 CORPUS_DIR`.

Anything but a ValueError is a defect, and so is a header that is accepted without filling the data that it describes.
"""

from __future__ import annotations

import math
import sys

import atheris

with atheris.instrument_imports(include=["qwen_runtime", "json"]):
    from qwen_runtime import safetensors

RUNS = 300_000
SEED = b'{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}'
SEED_DATA_BYTES = 12


def check(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    data_bytes = SEED_DATA_BYTES if provider.ConsumeBool() else provider.ConsumeIntInRange(0, 64)
    before, after = b"", b""
    if provider.ConsumeBool():  # start from a valid header, which random bytes hardly ever form
        at = provider.ConsumeIntInRange(0, len(SEED))
        before, after = SEED[:at], SEED[at + provider.ConsumeIntInRange(0, 40) :]
    header = before + provider.ConsumeBytes(provider.remaining_bytes()) + after
    try:
        tensors = safetensors.parse_header(header, data_bytes)
    except ValueError:
        return
    bits = sum(math.prod(tensor.shape) * safetensors.DTYPE_BITS[tensor.dtype] for tensor in tensors.values())
    if bits != data_bytes * 8:
        raise AssertionError(f"{bits} bits of tensors in {data_bytes} bytes")


if __name__ == "__main__":
    bounded = any(argument.startswith(("-runs=", "-max_total_time=")) for argument in sys.argv)
    atheris.Setup([*sys.argv, *([] if bounded else [f"-runs={RUNS}"])], check)
    atheris.Fuzz()
