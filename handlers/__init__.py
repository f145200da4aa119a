"""Every way in and out: broker, command line, clock and board."""
