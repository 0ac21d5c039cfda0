"""Explanations of predictions: what each step and channel of an input contributes."""
