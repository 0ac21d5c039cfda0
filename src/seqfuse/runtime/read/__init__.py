"""Readers: from files to recordings and tables."""
