"""Every call of the API, described once: method, path, what is sent, and how the answer is read."""
