"""Streaming building blocks: every one is `forward(x, state) -> (y, state)`. Torch only."""
