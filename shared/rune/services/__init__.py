"""What the API, the triggers and the minute tick call: one use case a file."""
