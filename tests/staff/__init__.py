"""Staff and admin commands: who may, what follows, and that nothing follows a refusal."""
