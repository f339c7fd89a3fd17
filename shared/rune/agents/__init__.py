"""Agents, which answer questions: one protocol, one file per agent."""
