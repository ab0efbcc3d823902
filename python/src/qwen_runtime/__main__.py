import sys

from qwen_runtime.cli import main

sys.exit(main())
