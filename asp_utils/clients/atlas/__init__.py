"""The Atlas Admin API: who we are to it, requests, pages, errors."""
