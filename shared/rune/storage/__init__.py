"""Conditional writes as plain data, and the one DynamoDB table that carries them out."""
