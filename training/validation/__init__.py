"""Whether to trust a trained model: everything behind the validation report, and the page itself."""
