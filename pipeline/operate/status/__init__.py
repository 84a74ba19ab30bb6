"""The state of an installation: ``foryou status``.

Owns: the figures (``gather``; of the web app, ``web_app_status``), what they mean (``lines``), and the table or JSON
(``show``). Leaves to others: checking an installation (``doctor``). It writes nothing, and works whatever is missing
or running.
"""
