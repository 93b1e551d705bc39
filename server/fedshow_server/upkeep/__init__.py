"""What keeps a server up for months: certificates, health, metrics, logs, room on the disk, backups."""
