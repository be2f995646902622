"""What runs without a person: schedules, deliveries, start-up checks, and the processes that keep them running."""
