"""Whether somebody is who they say: passwords, codes, passkeys, guesses, sessions, single sign-on."""
