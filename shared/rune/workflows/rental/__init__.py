"""A rented machine's part in a job: rent, reconcile, boot, pull, release."""
