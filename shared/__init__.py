"""What the functions share, from the HTTP boundary to the database call.

Also here: the typed client (shared.client) for servers that call the functions.
"""
