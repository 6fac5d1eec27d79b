"""The commands of delivery, one module for each of them."""
