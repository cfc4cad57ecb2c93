"""What another policy would have done, and which cut-offs to try: `bonitas policy backtest` and `propose`."""
