"""Reading candidate lists from serving.sqlite."""
