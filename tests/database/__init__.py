"""The promises of the schema, through real roles on a real PostgreSQL."""
