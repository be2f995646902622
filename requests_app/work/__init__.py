"""Work that no person starts: schedules, deliveries, start-up checks, and the processes that do this work."""
