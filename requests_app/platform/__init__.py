"""What any web application could use: HTTP to other machines, WebAuthn's encoding, sealing, sockets, databases."""
