"""Media types of responses."""

JSON = "application/json"
PROBLEM = "application/problem+json"
JSON_LINES = "application/x-ndjson"
CSV = "text/csv; charset=utf-8"
PARQUET = "application/vnd.apache.parquet"
