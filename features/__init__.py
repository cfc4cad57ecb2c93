"""The credit features: one declaration of each, one evaluator for a folder, one for a single customer."""
