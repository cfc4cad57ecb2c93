"""The estimators that compete, their calibration, tuning and stored form."""
