"""`lockbox`: the API on the command line."""
