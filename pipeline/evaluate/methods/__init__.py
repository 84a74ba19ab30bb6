"""The methods that an evaluation compares: ours, what is popular, and classical recommenders.

``registry`` names them all with the values that tuning may try.
"""
