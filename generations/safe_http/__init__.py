"""Outbound HTTP to URLs that customers or fal name. It cannot reach private addresses.

A host name is resolved once, its address is checked, and the checked address is contacted. Every request has limits of
time and size, and the number of concurrent requests is limited.
"""
