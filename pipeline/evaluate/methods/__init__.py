"""The methods that an evaluation compares: our ranking, what is popular, and classical recommenders.

``registry`` names them all with the values that tuning may try.
"""
