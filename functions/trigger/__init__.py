"""What other AWS services send: an intake for each way in."""
