"""Translation from and to HTTP, no decisions."""
