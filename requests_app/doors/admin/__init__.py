"""The admin portal: a door for staff."""
