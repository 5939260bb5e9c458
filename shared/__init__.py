"""The library of the three services: pure formats and protocols; `runtime` and `demo` apart."""
