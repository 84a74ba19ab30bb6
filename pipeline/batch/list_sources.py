"""Where a post of a list comes from: the numbers in a staged list's column ``source``.

Owns: these numbers; ``sql/checks`` and ``sql/explore`` repeat them. Leaves to others: the bytes of a list
(``publish.list_packing``).
"""

CO_LIKERS = 1  # neighbours liked it
POPULAR = 2  # it is popular now, and no neighbour liked it
TRIAL = 3  # few have seen it: it came before its turn
