"""The wire formats: each reads a body, asks the service, and shapes the answer and the errors as its clients expect."""
