"""Prediction in numpy and the standard library, the same in training and in exported folders."""
