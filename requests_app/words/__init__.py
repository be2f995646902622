"""The sentences that pages, mails and the log share, and how they write times, states and links."""
