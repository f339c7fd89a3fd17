"""The notifier: tells others what has happened."""
