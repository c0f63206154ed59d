"""The ASP toolkit: build, test and operate MongoDB Atlas Stream Processing."""
