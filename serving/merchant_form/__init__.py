"""The merchant's web form: answers to a stop request through a signed link, without login or script."""
