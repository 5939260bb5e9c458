"""Credential Issuer and its Authorization Server."""
