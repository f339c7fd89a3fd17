"""Webhooks: to which addresses a tenant's events are sent, how each is signed, and what becomes of an attempt."""
