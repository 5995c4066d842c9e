"""The job worker: its kinds by themselves, and as a whole on the stack."""
