"""A voice is a folder: voice.json, two safetensors and card.md, found by id, verified by hash."""
