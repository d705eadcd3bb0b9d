"""Reading and writing files: CSV and JSON Lines, encodings, bulk loading of rows."""
