"""What a classifier read of each document: in which layer each word left, what is made of it, as a page or as text."""
