"""The pages for people; the HTML is in ``templates``."""
