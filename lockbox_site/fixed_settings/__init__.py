"""Settings that are the same in every installation: no environment changes them. settings.py includes them."""
