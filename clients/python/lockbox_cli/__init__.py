"""The `lockbox` program, which calls the API from the command line."""
