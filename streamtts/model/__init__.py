"""The acoustic model: symbols to mel frames, step by step, by hard stepwise monotonic attention."""
