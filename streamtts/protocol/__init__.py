"""The native WebSocket protocol: bytes and messages in, events out. No IO at all."""
