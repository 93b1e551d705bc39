"""Who belongs to this server: joining, roles, what one caller may ask how often."""
