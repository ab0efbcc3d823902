"""One process of a run of scoring: `python -m qwen_runtime.engine.score.rank JOB`, with the environment of torchrun.

The last rank writes the result.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.engine import loading, registry
from qwen_runtime.engine.score import batches, document, texts
from qwen_runtime.engine.score.job import Job, decode
from qwen_runtime.errors import Error, UsageError
from qwen_runtime.sizing import published

if TYPE_CHECKING:
    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.texts import Item, Span


def main() -> None:
    job = decode(sys.argv[1])
    try:
        run(job)
    except Error as error:
        job.fail(error)
        sys.exit(error.exit_code)


def run(job: Job) -> None:
    items = texts.read(job.input)
    config = loading.read_config(job.model_dir)
    spans, parts = _divide(job, config, items)
    figures = registry.scorers()[job.engine].run(job, config, items, spans, parts)
    if figures is not None:
        head = {"engine": job.engine, "stages": job.stages, "micro_batches": job.micro_batches}
        rest = {"versions": document.versions(), "hardware": document.hardware(), "units": document.UNITS}
        _write(job.output, {**head, **figures, **rest})


def _divide(job: Job, config: dict[str, Any], items: list[Item]) -> tuple[list[Span], list[Batch]]:
    longest = published.longest_context(config, str(job.model_dir / "config.json"))
    if job.max_length is not None and job.max_length > longest:
        raise UsageError(
            f"--max-length {job.max_length}", f"at most {longest} tokens, the context of {job.model_dir}", "Lower it."
        )
    spans = texts.spans(items, loading.read_tokenizer(job.model_dir), job.max_length or longest)
    return spans, batches.divide([len(span.inputs) for span in spans], job.micro_batches, job.batch_tokens)


def _write(path: Path, result: dict[str, Any]) -> None:
    """Writes the file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
