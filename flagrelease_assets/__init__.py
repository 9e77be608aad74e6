"""flagrelease: says with evidence whether an LLM can be released on a vendor's chips."""
