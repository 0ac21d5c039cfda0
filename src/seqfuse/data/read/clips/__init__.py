"""Readers of clips, and of the key points of frames."""
