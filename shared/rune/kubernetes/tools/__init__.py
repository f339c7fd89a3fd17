"""The tools with which a model reads a cluster: each bounded, masked, and told with its scope."""
