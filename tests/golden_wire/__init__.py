"""One example of each message with its bytes, and two ends of a connection to send them over."""
