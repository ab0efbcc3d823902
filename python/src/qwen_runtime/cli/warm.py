"""`qwen-runtime warm`: lets an engine compile before traffic what it compiles when it is first asked for it."""

from __future__ import annotations

from qwen_runtime.cli.common import Commands, Options, add, positive
from qwen_runtime.cli.endpoint import add_endpoint, api_key


def add_to(commands: Commands) -> None:
    warm = add(commands, "warm", run, "send an engine one request of each kind, so that no user waits for a compiler")
    add_endpoint(warm)
    warm.add_argument(
        "--longest-prompt", type=positive, metavar="TOKENS", help="default: 10,000, or the context where it is shorter"
    )


def run(options: Options) -> None:
    from qwen_runtime.endpoint import VARIANT
    from qwen_runtime.warm import kinds
    from qwen_runtime.warm.engine import Engine
    from qwen_runtime.warm.warming import warm

    key = api_key(options.api_key_file)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    headers |= {VARIANT: options.variant} if options.variant else {}
    engine = Engine(options.endpoint, headers, options.model)
    wanted = kinds.of(engine.context_tokens, options.longest_prompt or kinds.LONGEST)
    asked = warm(engine, wanted, lambda one: print(one, flush=True), compare=True)
    refused = sum(bool(one.refusal) for one in asked)
    saved_s = sum(one.saved_s for one in asked)
    print(
        f"{engine.model} is warm: {len(asked) - refused} kinds answered, {refused} refused; "
        f"first requests took {saved_s:.1f} s more than second ones"
    )
