"""Text in pieces to symbols: segmenting, normalising, phones, pauses. No torch, no IO."""
