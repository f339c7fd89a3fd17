"""How a benchmark puts a model to work: point by point, a turn each, and then judges the answers."""
