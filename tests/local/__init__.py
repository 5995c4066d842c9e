"""Tests of the local stack itself; they need bin/dev, not `supabase start`."""
