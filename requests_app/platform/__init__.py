"""Code that any web application could use: HTTP to other machines, WebAuthn, encryption, sockets, databases."""
