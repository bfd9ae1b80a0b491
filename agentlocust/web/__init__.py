"""What the pack adds to Locust's web UI."""
