"""Figures of explanations, and tests of them."""
