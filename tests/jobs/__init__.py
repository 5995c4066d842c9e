"""The job queue and notifications, by SQL in a database of their own."""
