"""Messages to people and machines: topics, audiences, mails, webhook bodies."""
