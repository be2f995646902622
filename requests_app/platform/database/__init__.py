"""Django's backends for PostgreSQL and SQLite, with the limits and the honesty that the product needs of them."""
