"""What workers send: events and tests to webhooks, and e-mail, by threads of their own."""
