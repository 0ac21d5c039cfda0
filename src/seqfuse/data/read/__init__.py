"""Readers: from files to what is trained on."""
