"""What a plan is made of: states, formats, previews, tables, files. `qwidgets.plan` is the door to it."""
