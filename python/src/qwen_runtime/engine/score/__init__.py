"""Log-likelihood and perplexity of texts, in one process (transformers) or in a pipeline of stages (DeepSpeed)."""
