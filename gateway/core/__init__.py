"""Decides and never touches the world: values in, values out.

No clock, no randomness, no I/O and no third party in here; `now` is always passed in (unix seconds, UTC).
"""
