"""Measures the gateway beside its peers, in one run."""
