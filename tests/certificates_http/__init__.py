"""Certificates as the world sees them: verification, Open Badges, the learner's PDF."""
