"""An OpenAI-compatible endpoint as a measurement sees it: what it says of itself, and one request with its times."""
