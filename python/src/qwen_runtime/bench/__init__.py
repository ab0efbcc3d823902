"""Load on an endpoint, and what a user of it notices: first token, gaps, whole answers, tokens a second."""
