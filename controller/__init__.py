"""Files that only a controller holds: `qwen-controller backup` keeps them, `restore` puts them back."""
