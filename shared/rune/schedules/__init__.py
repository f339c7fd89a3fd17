"""Recurring schedules: when each is due, its row, and what becomes of it."""
