"""Executions: submitting, running, waiting, history."""
