"""Checks of what was typed and composed, before anything is built."""
