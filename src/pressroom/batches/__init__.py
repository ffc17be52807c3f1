"""Batches: one notebook executed over many sets of parameters."""
