"""Finds a learning rate and a batch size before a run begins."""
