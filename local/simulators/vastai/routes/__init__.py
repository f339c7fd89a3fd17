"""What the API answers, one module per thing asked about."""
