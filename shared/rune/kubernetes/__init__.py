"""Clusters that are read: how they answer, what may be asked of them, and what is said of what was found."""
