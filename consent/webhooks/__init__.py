"""What a webhook is made of: allowed addresses, signing secrets, positions. Sending is in `delivery`."""
