"""What the operator decides for each tenant, and the limiter of failed authentications."""
