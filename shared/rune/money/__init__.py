"""What things cost: estimates before, and what a model asks of a machine. Pure: no clock, no network."""
