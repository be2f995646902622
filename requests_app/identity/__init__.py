"""Proofs of a person's identity: passwords, codes, passkeys, limits on guesses, sessions, single sign-on."""
