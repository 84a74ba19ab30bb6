"""How an installation is doing: ``foryou status``.

``gather`` reads the figures, ``judge`` says what is worth a look, ``show`` makes a table or JSON of them,
``web`` asks the web app. Nothing is written, and it works whatever is running or missing.
"""
