"""How much anybody may take: every limit of the web app, who takes, and how what is there is shared."""
