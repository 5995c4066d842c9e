"""Certificates in the database: issuing them, what blocks them, what becomes of them."""
