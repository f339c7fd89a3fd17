"""Who may call: tenants and their tokens."""
