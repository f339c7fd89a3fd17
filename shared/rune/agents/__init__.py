"""Who answers a question: one protocol, one file per agent."""
