"""Scores of anomalies, and the score of such scores."""
