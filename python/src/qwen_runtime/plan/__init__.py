"""The planner: does a model fit a site's GPUs, how is it divided, how fast will it be, and why.

    from qwen_runtime.plan import make, plan, read
    result = plan(make(model="Qwen3-Coder-480B-A35B-Instruct-FP8", gpu="h100-80gb", gpus_per_node=8))

Standard library only, and imported in milliseconds, since roles, the stack's program, tests and the server use it.
"""

from qwen_runtime.plan.document import build, dumps
from qwen_runtime.plan.planner import Plan, plan
from qwen_runtime.plan.reader import Document, parse, read
from qwen_runtime.plan.request import Request, make

__all__ = ["Document", "Plan", "Request", "build", "dumps", "make", "parse", "plan", "read"]
