"""What `adapt.py` and `animate.py` are made of: from trained runs and a recording to a persona, and from a persona to a moving head."""
