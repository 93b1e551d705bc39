"""The daemon on a user's GPU box: tunes concepts on private images, hands over adapters only."""
