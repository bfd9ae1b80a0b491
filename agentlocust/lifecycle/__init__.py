"""One load test from start to stop, alone or over workers: options, messages, verdict."""
