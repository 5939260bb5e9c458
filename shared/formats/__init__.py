"""Credential formats and their status."""
