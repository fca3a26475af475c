"""What the readings themselves are worth."""
