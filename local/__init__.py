"""The local Supabase stack without Docker: real PostgreSQL, PostgREST, Auth, Storage and functions."""
