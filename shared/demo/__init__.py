"""The demo: processes, a scripted phone, the story."""
