"""What learners write and save: notes, collections, and the cards and files of courses."""
