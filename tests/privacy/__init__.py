"""What a learner takes along, turns off, and leaves behind."""
