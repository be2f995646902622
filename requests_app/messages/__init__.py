"""What is sent to whom: topics, audiences, mails, bodies of webhooks."""
