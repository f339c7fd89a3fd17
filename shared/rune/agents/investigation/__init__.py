"""An investigation by a model with tools: a loop of single turns, as plain functions over plain state."""
