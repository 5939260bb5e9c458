"""What runs a service: HTTP, database, settings, jobs, logs."""
