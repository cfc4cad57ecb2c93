"""The model and the policy that decide now, and how a change of them is noticed."""
