"""JUDGE: from a listing to a report: origin, overrides, suppression, score, policy, mail.

Facts come in (which feeds name an address, since when), effects go out (score, verdict). What judges is pure: values
and ``now`` in, frozen values out; files are opened at the edge of each part.
"""
