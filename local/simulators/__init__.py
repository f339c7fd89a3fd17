"""Simulators of the services that RUNE uses, checked with the official clients of those services."""
