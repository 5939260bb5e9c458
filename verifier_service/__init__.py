"""Verifier, at a counter or in another system."""
