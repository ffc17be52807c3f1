"""Copies of the database: made whole or not at all, and restored into an empty one."""
