"""The local Supabase stack without Docker: every part real, one gateway port in front."""
