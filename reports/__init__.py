"""What score.py and compare.py are made of: the scoring loop, statistics, tables and the report page."""
