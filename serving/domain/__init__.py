"""The rules of the business: no web, no SQL, no clock, no ML platform."""
