"""Frames to sound: harmonics and noise, shaped frame by frame. Torch only."""
