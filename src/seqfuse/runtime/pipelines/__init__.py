"""Pipelines: fitted on training rows, kept in the checkpoint."""
