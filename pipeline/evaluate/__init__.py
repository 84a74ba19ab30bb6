"""Offline evaluation by time: would the lists of a moment have held what people liked next?

Owns: ``foryou evaluate``: histories cut at rolling moments, the rankings to compare, measures with intervals, tuning
on earlier windows, the report. Leaves to others: the ranking itself (``pipeline.batch``), worlds with a known truth
(``pipeline.simulate``). Nothing here writes to the store.
"""
