"""Rented GPUs: what is offered, what was rented and what it costs, until each is proven gone."""
