"""The sentences that pages, mails and the log share, with their words for times, states and links."""
