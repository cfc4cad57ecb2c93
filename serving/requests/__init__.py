"""What every request passes before its use case: door, key, scope, patience, store."""
