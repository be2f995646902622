"""What a webhook carries, and how it is signed."""
