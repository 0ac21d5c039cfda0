"""Data and parts of nets that are ours."""
