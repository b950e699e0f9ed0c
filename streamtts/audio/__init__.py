"""Sample formats, resampling and encoders: numpy, soundfile and soxr; no model, no torch."""
