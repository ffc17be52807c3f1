"""Notebooks that are executed at certain times."""
