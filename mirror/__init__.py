"""Everything that a site's mirror holds: `qwen-mirror list` names it, `qwen-mirror check` asks the mirror for it."""
