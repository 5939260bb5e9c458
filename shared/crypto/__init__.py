"""Keys, sealing and certificates."""
