"""What is fed to everything that reads what strangers send, and by what it is judged."""
