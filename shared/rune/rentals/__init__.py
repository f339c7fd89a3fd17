"""Rented GPUs: offers, rentals and their cost, until each machine is proven gone."""
