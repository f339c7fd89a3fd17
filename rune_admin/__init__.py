"""The operator's tool: `python -m rune_admin`, run with AWS credentials for one stack (docs/operations.md)."""
