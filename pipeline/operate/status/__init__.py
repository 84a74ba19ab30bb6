"""How an installation is doing: ``foryou status``.

``gather`` reads the figures, ``lines`` says what is worth a look, ``show`` makes a table or JSON of them,
``web_app_status`` asks the web app. Nothing is written, and it works whatever is running or missing.
"""
