"""What a process of the product is made of: settings, server, log lines and metrics."""
