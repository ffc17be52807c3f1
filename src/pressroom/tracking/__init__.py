"""Executions as runs of MLflow."""
