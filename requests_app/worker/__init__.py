"""What keeps the background work alive: guard, heartbeats, beat, and the supervisor of all processes."""
