"""Messages to people and to machines: topics, audiences, mails, and the bodies of webhook messages."""
