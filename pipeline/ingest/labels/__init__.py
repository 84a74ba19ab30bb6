"""From the streams of labelers to landing.sqlite: labels that withhold posts from lists.

``label_frames`` decodes a labeler's messages and checks their signatures, ``label_writer`` is the thread that commits
what they say, ``label_streams`` keeps a connection to each labeler with the follower of the main stream.
"""
