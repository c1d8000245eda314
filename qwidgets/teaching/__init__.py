"""What the teaching widgets show, as plain functions: bits, outcomes, reasons, ties and signals.

Whatever a student sees on the screen comes from here, so that it can be computed, tested and used in a script as well.
Nothing here knows of widgets, networks or plans.
"""
