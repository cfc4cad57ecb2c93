"""An order at the checkout: body, decision, confirmation, view and replay."""
