"""JWS and JWE behind a strict face."""
