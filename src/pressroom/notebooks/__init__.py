"""The registry of notebooks, and the files in users' directories."""
