"""Telling others how executions end: webhooks and e-mail."""
