"""Certificates in the database: what issues them, what keeps one from them, what becomes of them."""
