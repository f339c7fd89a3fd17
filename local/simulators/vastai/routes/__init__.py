"""The answers of the API, a module for each thing asked about."""
