"""Wallet of a citizen, the Holder."""
