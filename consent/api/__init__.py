"""The HTTP API below /api/v1/, the decision endpoints, and the OpenAPI description."""
