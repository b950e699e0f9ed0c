"""Building blocks; what streams is `forward(x, state) -> (y, state)`. Torch only."""
