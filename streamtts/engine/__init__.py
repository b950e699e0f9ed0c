"""Streams that share one model: no sockets, no text, no protocol."""
