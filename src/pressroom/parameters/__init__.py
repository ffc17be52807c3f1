"""Typed parameters: their rules, the checking of values, and proposals from a notebook's parameters cell."""
