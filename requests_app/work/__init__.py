"""Work without a person: schedules, deliveries, start-up checks, and the processes that run it."""
