"""Predictions: one class for each job."""
