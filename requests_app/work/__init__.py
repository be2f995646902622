"""Work that no person starts: schedules, deliveries and start-up checks, with the processes that run them."""
