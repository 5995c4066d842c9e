"""The learner table of staff."""
