"""Proof of who somebody is: passwords, codes, passkeys, guess limits, sessions, single sign-on."""
