"""The Chinese notebooks hold the code of the English ones, which need not run twice."""

collect_ignore = ["zh"]
