"""The examination of an installation: what is wrong with it, and which command mends it."""
