"""Routes of the web app: what each address answers."""
