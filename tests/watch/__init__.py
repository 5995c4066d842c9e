"""Watch time and offline events: credited by the clock, whatever the order of reports."""
